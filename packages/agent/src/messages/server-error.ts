import { BackhaulError, subjectOf } from '@backhaul/protocol';
import type { Handler } from './handler.ts';

/** The server could not handle a frame of ours. An upload that it was about gets no answer any more, and ends. */
export const serverError: Handler<'error'> = (error, { log, transfers }) => {
  const { code, message } = error;
  const subject = subjectOf(error);
  log.warn(
    { action: error.action, code, reason: message, ...subject },
    'the server could not handle a message',
  );
  if (subject === null || 'command_id' in subject) return;
  transfers.endRefused(
    subject,
    new BackhaulError('protocol_error', `The server could not read a message: ${message}`),
  );
};
