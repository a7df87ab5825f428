import { BackhaulError, subjectOf } from '@backhaul/protocol';
import type { Handler } from './handler.ts';

/** The server could not handle a frame. An upload that the frame was about ends, because there will be no response. */
export const serverError: Handler<'error'> = (error, { log, transfers }) => {
  const { code, message } = error;
  const subject = subjectOf(error);
  log.warn({ action: error.action, code, reason: message, ...subject }, 'the server reported an error');
  if (subject === null || 'command_id' in subject) return;
  transfers.endRefused(
    subject,
    new BackhaulError('protocol_error', `The server rejected a message: ${message}`),
  );
};
