import { useId } from "react";

interface Props {
  legend: string;
  options: string[];
  chosen: string;
  onChoose: (option: string) => void;
}

/** One of a few, as a group of radio buttons: arrow keys move in it. */
export function Choice({ legend, options, chosen, onChoose }: Props) {
  const name = useId();
  return (
    <fieldset className="choice">
      <legend>{legend}</legend>
      <div className="options">
        {options.map((option) => (
          <label key={option}>
            <input
              type="radio"
              name={name}
              value={option}
              checked={option === chosen}
              onChange={() => onChoose(option)}
            />
            <span>{option}</span>
          </label>
        ))}
      </div>
    </fieldset>
  );
}
