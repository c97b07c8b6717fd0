const { ForecastClient, NotFoundError } = require("prophet-serving-client");

(async () => {
  const client = new ForecastClient({ baseUrl: process.argv[2] });
  console.log(JSON.stringify(await client.forecast({ model_id: "a" })));
  const error = await client.forecast({ model_id: "b" }).catch((reason) => reason);
  console.log(error instanceof NotFoundError, require.resolve("prophet-serving-client").split("/dist/")[1]);
  console.log(require("prophet-serving-client/package.json").name);
})();
