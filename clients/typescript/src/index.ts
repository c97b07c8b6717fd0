export { type ColumnsRequest, ForecastClient, type Models, type ModelsOptions, type RowsRequest } from "./client.js";
export {
  AuthenticationError,
  BadRequestError,
  ClientTimeoutError,
  ForbiddenError,
  ForecastError,
  InternalError,
  InvalidAnswerError,
  NotFoundError,
  RateLimitError,
  ServiceTimeoutError,
  StatusError,
  TooLargeError,
  UnavailableError,
  UnreachableError,
} from "./errors.js";
export type {
  BatchResponse,
  CatalogHealth,
  ColumnarForecast,
  Fault,
  Forecast,
  ForecastColumns,
  ForecastRequest,
  ForecastRow,
  Health,
  ModelInfo,
  Point,
  Problem,
  RejectedVersion,
  ServedModel,
  ServedModels,
} from "./generated/contract.js";
export type { Attempt, CallOptions, ClientOptions, Patience } from "./options.js";
export { isProblem } from "./transport.js";
