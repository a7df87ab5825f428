export { platformFetch } from '#platform-fetch';
export { BackhaulClient } from './backhaul-client.ts';
export { backoffMs, type Backoff, pause } from './backoff.ts';
export type { CallOptions, ClientFilter, PageOptions, TriggerOptions, UploadFilter } from './call-options.ts';
export { Deadline } from './deadline.ts';
export {
  ApiError,
  type ApiErrorFields,
  ConnectionError,
  faultIn,
  NetworkFault,
  networkReason,
  UnexpectedAnswerError,
} from './errors.ts';
export type { FollowOptions, Gap } from './event-stream.ts';
export type { Fetch, FetchInit } from './fetch.ts';
export { sendsInTheClear, toBaseUrl, type TransportOptions as BackhaulClientOptions } from './transport.ts';
