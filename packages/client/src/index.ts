export { platformFetch } from '#platform-fetch';
export { ApiError, type ApiErrorFields } from './api-error.ts';
export {
  BackhaulClient,
  type BackhaulClientOptions,
  type CallOptions,
  type ClientFilter,
  type PageOptions,
  type TriggerOptions,
  type UploadFilter,
} from './backhaul-client.ts';
export { backoffMs, type Backoff, pause } from './backoff.ts';
export { sendsInTheClear, toBaseUrl } from './base-url.ts';
export { ConnectionError, faultIn, NetworkFault, networkReason } from './connection-error.ts';
export { Deadline } from './deadline.ts';
export type { Fetch, FetchInit } from './fetch.ts';
export type { FollowOptions, Gap } from './reconnecting-stream.ts';
export { UnexpectedAnswerError } from './unexpected-answer-error.ts';
