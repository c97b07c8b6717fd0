import Image from "next/image";
import icon from "@/app/icon.svg";

export function Brand() {
  return (
    <span className="brand">
      <Image src={icon} alt="" width={28} height={28} unoptimized priority />
      Spending outlook
    </span>
  );
}
