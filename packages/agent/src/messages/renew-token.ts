import type { Handler } from './handler.ts';

/** Answered only once the token would survive a power cut: from then on the server may rely on it. */
export const renewToken: Handler<'renew_token'> = async ({ renewal_id, token }, { link, tokens, log }) => {
  // The server sends it only to agents that have said that they keep it.
  if (tokens === null) return;
  await tokens.store(token);
  log.info({ renewal_id }, 'the token was renewed; the next connection uses the new one');
  link.send({ status: 'token_stored', renewal_id });
};
