import { BackhaulError } from '@backhaul/protocol';
import { listDirectory as list } from '../file/list-directory.ts';
import type { Handler } from './handler.ts';

export const listDirectory: Handler<'list_directory'> = async ({ command_id, path }, context) => {
  const { link, open, log, signal } = context;
  try {
    const data = await list(path, open, { signal });
    log.info({ command_id, path, entries: data.entries.length }, 'directory listed');
    link.send({ status: 'result', command_id, ok: true, data });
  } catch (error) {
    if (!(error instanceof BackhaulError)) throw error;
    log.warn({ command_id, path, error: error.code }, 'directory not listed');
    link.send({
      status: 'result',
      command_id,
      ok: false,
      error: error.code,
      message: error.message.slice(0, 2000),
    });
  }
};
