import { BackhaulError } from '@backhaul/protocol';
import { listDirectory as list } from '../file/list-directory.ts';
import type { Handler } from './handler.ts';

export const listDirectory: Handler<'list_directory'> = async (message, deps) => {
  const { command_id, path, prefix, cursor, limit } = message;
  const { link, open, log, signal } = deps;
  try {
    const data = await list(path, open, { prefix, cursor, limit, signal });
    log.info({ command_id, path, entries: data.entries.length }, 'directory listed');
    link.send({ status: 'result', command_id, ok: true, data });
  } catch (error) {
    if (!(error instanceof BackhaulError)) throw error;
    log.warn({ command_id, path, error: error.code }, 'failed to list the directory');
    link.send({
      status: 'result',
      command_id,
      ok: false,
      error: error.code,
      message: error.message.slice(0, 2000),
    });
  }
};
