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
export { toBaseUrl } from './base-url.ts';
export { ConnectionError, networkReason } from './connection-error.ts';
export { Deadline } from './deadline.ts';
export type { FollowOptions, Gap } from './reconnecting-stream.ts';
export type { Fetch } from './transport.ts';
export { UnexpectedAnswerError } from './unexpected-answer-error.ts';
