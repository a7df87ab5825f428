/** WebSocket subprotocol; a breaking change of the protocol requires a new name. */
export const SUBPROTOCOL = 'backhaul.v1';

/** Path to which agents connect. */
export const CONNECT_PATH = '/ws/connect';

/** Maximum frame size. A `completed` with 10,000 parts has about 670 KB. */
export const MAX_FRAME_BYTES = 1024 * 1024;

/** Interval of pings from both sides; load balancers close connections that are idle for 60 s. */
export const HEARTBEAT_INTERVAL_MS = 20_000;

/** Minimum interval between progress reports of an upload. */
export const PROGRESS_INTERVAL_MS = 1000;

/** The connection counts as lost after this time without data. */
export const DEAD_AFTER_MS = 45_000;

/** WebSocket close codes of this protocol (4000–4999 are for applications, RFC 6455, section 7.4.2). */
export const closeCodes = {
  /** "Internal error" of RFC 6455, section 7.4.1. */
  tryAgain: 1011,
  replaced: 4000,
  tokenExpired: 4001,
  helloTimeout: 4002,
  protocolViolation: 4003,
  slowReader: 4004,
  clientForgotten: 4005,
  clientBlocked: 4006,
} as const;
