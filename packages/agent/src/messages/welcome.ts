import type { Handler } from './handler.ts';

/** The session is open; the message lists which uploads continue. */
export const welcome: Handler<'welcome'> = async (message, { transfers, tokens, log }) => {
  const { session_id, epoch, server_version } = message;
  log.info({ session_id, epoch, server_version }, 'connected');
  transfers.setProgressInterval(message.progress_interval_ms);
  await Promise.all([tokens?.welcomed(), transfers.applyDecisions(message.uploads)]);
};
