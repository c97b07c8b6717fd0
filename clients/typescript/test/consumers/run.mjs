import { ForecastClient, NotFoundError } from "prophet-serving-client";
import { createRequire } from "node:module";

const client = new ForecastClient({ baseUrl: process.argv[2] });
console.log(JSON.stringify(await client.forecast({ model_id: "a" })));
const error = await client.forecast({ model_id: "b" }).catch((reason) => reason);
console.log(error instanceof NotFoundError, import.meta.resolve("prophet-serving-client").split("/dist/")[1]);
console.log(createRequire(import.meta.url)("prophet-serving-client/package.json").name);
