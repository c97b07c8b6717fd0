import type {
  BatchRequest,
  BatchResponse,
  ColumnarForecast,
  Forecast,
  ForecastRequest,
  Health,
  Problem,
  ServedModel,
  ServedModels,
} from "./generated/contract.js";
import type { CallOptions, ClientOptions } from "./options.js";
import { Transport } from "./transport.js";

/** A request for one object a date, the default. */
export type RowsRequest = ForecastRequest & { format?: "rows" };
/** A request for one list a column. */
export type ColumnsRequest = ForecastRequest & { format: "columns" };

export interface ModelsOptions extends CallOptions {
  /** Most models a page, 1 to 1,000. */
  limit?: number;
  /** Only segments whose champion cannot be used. */
  rejected?: boolean;
  /** Where to go on: the `next_page_token` of an earlier page. */
  pageToken?: string;
}

/** What is served, fetched as it is looked at: one by one, or page by page. */
export interface Models extends AsyncIterable<ServedModel> {
  pages(): AsyncIterable<ServedModels>;
}

/**
 * The service's routes as methods. Keep one client for all requests: it holds no connection and no state.
 *
 * Every method throws a ForecastError, or the reason of an aborted signal.
 */
export class ForecastClient {
  readonly #transport: Transport;

  constructor(options: ClientOptions) {
    this.#transport = new Transport(options);
  }

  /** One forecast: of a segment's champion, or, with `data`, of that history. */
  forecast(request: ColumnsRequest, options?: CallOptions): Promise<ColumnarForecast>;
  forecast(request: RowsRequest, options?: CallOptions): Promise<Forecast>;
  forecast(request: ForecastRequest, options?: CallOptions): Promise<Forecast | ColumnarForecast>;
  async forecast(request: ForecastRequest, options?: CallOptions): Promise<Forecast | ColumnarForecast> {
    const answer = await this.#transport.send({ method: "POST", path: "/forecast", body: request }, options);
    return answer as Forecast | ColumnarForecast;
  }

  /**
   * Many forecasts in one call: one result a request, in their order, each a forecast or a problem (`isProblem`).
   * A result that is a problem is not asked for again.
   */
  forecastBatch(requests: readonly ColumnsRequest[], options?: CallOptions): Promise<(ColumnarForecast | Problem)[]>;
  forecastBatch(requests: readonly RowsRequest[], options?: CallOptions): Promise<(Forecast | Problem)[]>;
  forecastBatch(requests: readonly ForecastRequest[], options?: CallOptions): Promise<BatchResponse["results"]>;
  async forecastBatch(
    requests: readonly ForecastRequest[],
    options?: CallOptions,
  ): Promise<BatchResponse["results"]> {
    const body: BatchRequest = { requests: [...requests] };
    const answer = await this.#transport.send({ method: "POST", path: "/forecast/batch", body }, options);
    return (answer as BatchResponse).results;
  }

  /** What is served and the caller may read: `for await (const model of client.models())`. */
  models(options: ModelsOptions = {}): Models {
    const pages = () => this.#pages(options);
    return { pages, [Symbol.asyncIterator]: () => eachModel(pages()) };
  }

  /** What is served for one segment. */
  async model(modelId: string, options?: CallOptions): Promise<ServedModel> {
    if (modelId === "." || modelId === "..") {
      throw new TypeError(`a URL cannot name the segment ${JSON.stringify(modelId)}`);
    }
    const path = `/models/${encodeURIComponent(modelId)}`;
    return (await this.#transport.send({ method: "GET", path }, options)) as ServedModel;
  }

  /** How the service and its catalog are; `degraded` still serves. */
  async health(options?: CallOptions): Promise<Health> {
    return (await this.#transport.send({ method: "GET", path: "/health" }, options)) as Health;
  }

  async *#pages({ limit, rejected, pageToken, ...options }: ModelsOptions): AsyncGenerator<ServedModels, void, undefined> {
    let token: string | null | undefined = pageToken;
    do {
      const query = new URLSearchParams();
      if (limit !== undefined) query.set("limit", String(limit));
      if (rejected) query.set("rejected", "true");
      if (token) query.set("page_token", token);
      const path = query.size > 0 ? `/models?${query}` : "/models";
      const page = (await this.#transport.send({ method: "GET", path }, options)) as ServedModels;
      yield page;
      token = page.next_page_token;
    } while (token !== null);
  }
}

async function* eachModel(pages: AsyncIterable<ServedModels>): AsyncGenerator<ServedModel, void, undefined> {
  for await (const page of pages) yield* page.models;
}
