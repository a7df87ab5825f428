import type { Handler } from './handler.ts';

export const healthCheck: Handler<'health_check'> = ({ command_id }, { link, health }) => {
  link.send({ status: 'result', command_id, ok: true, data: health() });
};
