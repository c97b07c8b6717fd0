"""A history is checked once, and every fault is named."""

from __future__ import annotations

import datetime as dt
import decimal
import pickle
from typing import Any, Literal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecasting.errors import Fault, FitError, HistoryError
from forecasting.history import History, check_history

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03"]


def table(ds: list[Any], y: list[Any] | None = None, **extra: list[Any]) -> pd.DataFrame:
    values = list(range(len(ds))) if y is None else y
    columns = {"ds": ds, "y": values, **extra}
    return pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in columns.items()})


def faults_of(frame: pd.DataFrame, **options: Any) -> dict[str, Fault]:
    with pytest.raises(HistoryError) as caught:
        check_history(frame, **options)
    return {fault.code: fault for fault in caught.value.faults}


def test_a_sound_history_comes_out_as_dates_and_floats() -> None:
    history = check_history(table(DAYS, [1, 2.5, "3"], temp=[1, 2, 3], other=["a", "b", "c"]), extra_columns=["temp"])
    assert list(history.frame.columns) == ["ds", "y", "temp"]
    assert [str(kind) for kind in history.frame.dtypes] == ["datetime64[ns]", "float64", "float64"]
    assert history.freq == "D"
    assert history.trained_through == pd.Timestamp("2024-01-03")


@pytest.mark.parametrize(
    "ds",
    [
        [dt.date(2024, 1, 1), dt.datetime(2024, 1, 2), "2024-01-03"],
        [20240101, 20240102, 20240103],
        ["20240101", "20240102", "20240103"],
        list(pd.date_range("2024-01-01", periods=3)),
        [dt.datetime(2024, 1, day, tzinfo=dt.UTC) for day in (1, 2, 3)],
        ["2024-01-01T00:00:00Z", "2024-01-02T02:00:00+02:00", "2024-01-03T00:00:00.000Z"],
    ],
)
def test_dates_of_every_usual_kind_are_read(ds: list[Any]) -> None:
    history = check_history(table(ds))
    assert list(history.frame["ds"]) == list(pd.date_range("2024-01-01", periods=3))


@pytest.mark.parametrize("unit", ["s", "us", "ns"])
def test_typed_dates_of_any_unit_and_zone_become_naive_nanoseconds(unit: Literal["s", "us", "ns"]) -> None:
    ds = pd.date_range("2024-01-01", periods=3, tz="Asia/Kolkata", unit=unit)
    history = check_history(pd.DataFrame({"ds": ds, "y": [1, 2, 3]}))
    assert history.frame["ds"].dtype == "datetime64[ns]"
    assert history.frame["ds"].iloc[0] == pd.Timestamp("2023-12-31 18:30")
    assert "dates were converted from Asia/Kolkata to UTC" in history.notes


def test_years_and_periods_are_dates_too() -> None:
    assert check_history(table([2021, 2022, 2023])).freq == "YS-JAN"
    months = pd.DataFrame({"ds": pd.period_range("2024-01", periods=3, freq="M"), "y": [1, 2, 3]})
    assert check_history(months).freq == "MS"


def test_a_slashed_date_is_read_only_when_day_and_month_cannot_be_confused() -> None:
    history = check_history(table(["12/01/2024", "13/01/2024"]))
    assert history.frame["ds"].iloc[0] == pd.Timestamp("2024-01-12")
    assert "dates were read as %d/%m/%Y" in history.notes
    assert faults_of(table(["01/02/2024", "02/02/2024"]))["unparsable_date"].rows == (0, 1)


@pytest.mark.parametrize(
    "value", ["tomorrow", "today", "now", "2024-13-01", 7, True, {"a": 1}, [2], "9999-12-31", 1e300]
)
def test_what_is_no_date_is_named_with_its_row(value: Any) -> None:
    fault = faults_of(table([*DAYS, value]))["unparsable_date"]
    assert (fault.column, fault.rows) == ("ds", (3,))
    assert str(fault.values[0]) in fault.message
    assert "row 3" in fault.message


@pytest.mark.parametrize(
    "value",
    [
        "abc",
        "1,5",
        True,
        {"a": 1},
        [2],
        "0x10",
        "1_000",
        dt.date(2024, 1, 1),
        10**400,
        pytest.param(10**5000, id="5001 digits"),
        1j,
    ],
)
def test_what_is_no_number_is_named_with_its_row(value: Any) -> None:
    fault = faults_of(table(DAYS, [1, value, 3]))["unparsable_number"]
    assert (fault.column, fault.rows) == ("y", (1,))


def test_a_typed_column_of_truth_values_is_no_number() -> None:
    frame = pd.DataFrame({"ds": DAYS, "y": [True, False, True]})
    assert faults_of(frame)["unparsable_number"].rows == (0, 1, 2)


@pytest.mark.parametrize("value", [decimal.Decimal("2"), "2", " 2 ", np.int8(2), np.float32(2), 2])
def test_numbers_of_every_usual_kind_are_read(value: Any) -> None:
    assert check_history(table(DAYS, [1, value, 3])).frame["y"].iloc[1] == 2.0


def test_a_nullable_column_is_read() -> None:
    frame = pd.DataFrame({"ds": DAYS, "y": pd.array([1, None, 3], dtype="Int64")})
    assert list(check_history(frame).frame["y"]) == [1.0, 3.0]


@pytest.mark.parametrize("value", [float("inf"), float("-inf"), "inf", "1e999"])
def test_infinities_are_faults(value: Any) -> None:
    assert faults_of(table(DAYS, [1, value, 3]))["infinite_number"].rows == (1,)


@pytest.mark.parametrize("gap", [None, float("nan"), "", pd.NA])
def test_a_row_without_a_y_is_left_out_with_a_note(gap: Any) -> None:
    history = check_history(table(DAYS, [1, gap, 3]))
    assert len(history.frame) == 2
    assert "1 of 3 rows have no y and were left out" in history.notes


def test_a_row_without_a_date_is_a_fault_unless_it_is_blank_altogether() -> None:
    assert faults_of(table([None, *DAYS]))["missing_date"].rows == (0,)
    assert len(check_history(table([*DAYS, None], [1, 2, 3, None])).frame) == 3


def test_a_missing_column_names_those_that_are_there() -> None:
    fault = faults_of(pd.DataFrame({"date": DAYS, "y": [1, 2, 3]}))["missing_column"]
    assert fault.column == "ds"
    assert "date, y" in fault.message


def test_a_column_that_is_there_twice_is_a_fault() -> None:
    frame = pd.DataFrame([["2024-01-01", "2024-01-01", 1]], columns=["ds", "ds", "y"])
    assert "2 times" in faults_of(frame)["missing_column"].message


@pytest.mark.parametrize(
    ("policy", "y", "temp"),
    [("sum", [1, 6, 4], [1, 3, 4]), ("mean", [1, 3, 4], [1, 2, 4]), ("last", [1, 4, 4], [1, 3, 4])],
)
def test_duplicate_dates_follow_the_policy(policy: Any, y: list[float], temp: list[float]) -> None:
    frame = table([DAYS[2], DAYS[1], DAYS[0], DAYS[1]], [4, 2, 1, 4], temp=[4, 1, 1, 3])
    history = check_history(frame, duplicates=policy, extra_columns=["temp"])
    assert list(history.frame["y"]) == y
    assert list(history.frame["temp"]) == temp
    assert any(note.startswith("4 rows share 3 dates") for note in history.notes)


def test_duplicate_dates_are_a_fault_by_default_also_across_time_zones() -> None:
    frame = table(["2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00", "2024-01-02T00:00:00Z"])
    assert faults_of(frame)["duplicate_dates"].rows == (1,)


def test_unsorted_dates_are_sorted_or_a_fault() -> None:
    frame = table([DAYS[0], DAYS[2], DAYS[1]])
    assert list(check_history(frame).frame["y"]) == [0.0, 2.0, 1.0]
    assert faults_of(frame, sort=False)["unsorted_dates"].rows == (2,)


@pytest.mark.parametrize("frame", [table([]), table(["2024-01-01"]), table(DAYS, [1, None, None])])
def test_fewer_than_two_points_are_too_few(frame: pd.DataFrame) -> None:
    assert set(faults_of(frame)) == {"too_few_points"}


def test_points_that_fall_on_one_date_are_too_few() -> None:
    assert set(faults_of(table([DAYS[0], DAYS[0]]), duplicates="sum")) == {"too_few_points"}


def test_dates_with_and_without_a_time_zone_cannot_be_compared() -> None:
    fault = faults_of(table(["2024-01-01T00:00:00Z", "2024-01-02T00:00:00"]))["mixed_time_zones"]
    assert fault.rows == (1,)


def test_extra_columns_may_have_no_gap_where_there_is_a_y() -> None:
    frame = table(DAYS, [1, 2, None], temp=[1, None, None])
    assert faults_of(frame, extra_columns=["temp"])["missing_number"].rows == (1,)


def test_a_cap_must_be_above_the_floor_or_zero() -> None:
    frame = table(DAYS, cap=[0, 5, 5], floor=[-1, 5, 1])
    assert faults_of(frame, extra_columns=["cap"])["cap_not_above_floor"].rows == (0,)
    assert faults_of(frame, extra_columns=["cap", "floor"])["cap_not_above_floor"].rows == (1,)


def test_all_faults_are_told_at_once_by_the_rows_of_the_source() -> None:
    frame = table([*DAYS, "x", DAYS[0]], [1, "a", float("inf"), 4, 5])
    found = faults_of(frame, row_numbers=[10, 11, 12, 13, 14])
    assert {code: fault.rows for code, fault in found.items()} == {
        "unparsable_date": (13,),
        "unparsable_number": (11,),
        "infinite_number": (12,),
        "duplicate_dates": (14,),
    }


def test_faults_call_renamed_columns_by_their_old_names() -> None:
    fault = faults_of(table(DAYS, [1, "a", 3]), column_names={"y": "amount"})["unparsable_number"]
    assert fault.column == "amount"
    assert fault.message == "In column 'amount', 1 value is unreadable as a number: row 1 (a)."


def test_a_fault_shows_five_rows_and_counts_the_rest() -> None:
    fault = faults_of(table(DAYS * 4, ["x" * 100] * 12, x=[1] * 12), duplicates="last")["unparsable_number"]
    assert fault.rows == (0, 1, 2, 3, 4)
    assert "12 values are" in fault.message
    assert "and 7 more" in fault.message
    assert len(fault.message) < 400


def test_oddities_are_noted() -> None:
    constant = check_history(table(["2024-01-01", "2024-01-02", "2024-01-05", "2024-01-06"], [3, 3, 3, 3]))
    assert "y is constant at 3" in constant.notes
    assert "the frequency D was inferred" in constant.notes
    assert "the dates have gaps: 2 of 6 dates of D are missing" in constant.notes
    irregular = check_history(table(["2024-01-01", "2024-02-01", "2024-02-10"]), freq="MS")
    assert "the dates are irregular: 1 of 3 lie off the grid of MS" in irregular.notes


def test_an_unknown_frequency_is_the_callers_error() -> None:
    with pytest.raises(ValueError, match="junk"):
        check_history(table(DAYS), freq="junk")


def test_the_digest_knows_content_and_nothing_else() -> None:
    digest = check_history(table(DAYS)).digest
    assert len(digest) == 32
    assert digest == check_history(table(DAYS[::-1], [2, 1, 0])).digest
    assert digest != check_history(table(DAYS, [0, 1, 3])).digest
    assert digest != check_history(table(DAYS, cap=[5, 5, 5]), extra_columns=["cap"]).digest


@pytest.mark.parametrize("error", [HistoryError((Fault("a", "b", "c", (1,), ("d",)),)), FitError("no", "chatter")])
def test_errors_cross_processes(error: Exception) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert str(again) == str(error)
    assert vars(again) == vars(error)


anything = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=12), st.dates(), st.datetimes(),
    st.lists(st.integers(), max_size=2), st.sampled_from(["2024-01-01", "2024-01-02T00:00:00Z", "1", "nan", "inf"]),
)  # fmt: skip


def checked_or_faulty(frame: pd.DataFrame) -> History | tuple[Fault, ...]:
    try:
        return check_history(frame, duplicates="last")
    except HistoryError as error:
        return error.faults


@given(st.lists(st.tuples(anything, anything), max_size=6))
def test_any_table_is_a_history_or_has_faults_and_never_anything_else(rows: list[tuple[Any, Any]]) -> None:
    frame = table([row[0] for row in rows], [row[1] for row in rows])
    checked = checked_or_faulty(frame)
    if isinstance(checked, History):
        assert checked.frame["ds"].is_monotonic_increasing
        assert checked.frame["ds"].is_unique
        assert np.isfinite(checked.frame["y"]).all()
        assert len(checked.frame) >= 2
    else:
        assert checked
        assert all(row < len(rows) for fault in checked for row in fault.rows)
