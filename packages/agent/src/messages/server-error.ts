import type { Handler } from './handler.ts';

/** The server could not handle a frame of ours. */
export const serverError: Handler<'error'> = ({ code, message }, { log }) => {
  log.warn({ code, reason: message }, 'the server could not handle a message');
};
