import type { Handler } from './handler.ts';

/** Confirms only once the token would survive a power failure, because the server then relies on it. */
export const renewToken: Handler<'renew_token'> = async ({ renewal_id, token }, { link, tokens, log }) => {
  // The server sends it only to agents that announced token renewal.
  if (tokens === null) return;
  await tokens.store(token);
  log.info({ renewal_id }, 'token renewed; the next connection uses the new one');
  link.send({ status: 'token_stored', renewal_id });
};
