import { auditListSchema, auditQuerySchema } from '@backhaul/protocol';
import { z } from 'zod';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { problems, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

const cursorSchema = z.tuple([z.int()]);

/** `GET /audit` */
export const audit: Routes = (services) => (app, _options, done) => {
  app.get(
    '/audit',
    {
      config: { scope: 'audit' },
      schema: {
        operationId: 'listAudit',
        summary: 'List what operators did, newest first',
        description: 'Triggers, cancels, retries, deletions, blocks, commands and access to content.',
        tags: ['operations'],
        security: withToken,
        querystring: auditQuerySchema,
        response: { 200: auditListSchema, ...problems },
      },
    },
    async (request) => {
      const { client_id, actor, action, since, until, limit, cursor } = request.query;
      const [before] = cursor === undefined ? [] : decodeCursor(cursor, cursorSchema);
      const found = await services.store.listAudit({
        clientId: client_id,
        actor,
        action,
        since: since === undefined ? undefined : Date.parse(since),
        until: until === undefined ? undefined : Date.parse(until),
        before,
        limit: limit + 1,
      });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        events: page.map((event) => ({
          at: new Date(event.at).toISOString(),
          actor: event.actor,
          action: event.action,
          client_id: event.clientId,
          upload_id: event.uploadId,
          detail: { ...event.detail },
        })),
        next_cursor: last === undefined ? null : encodeCursor([last.id]),
      };
    },
  );
  done();
};
