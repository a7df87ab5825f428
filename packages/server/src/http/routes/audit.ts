import { auditListSchema, auditQuerySchema, type AuditRecord } from '@backhaul/protocol';
import { z } from 'zod';
import type { RecordedAudit } from '../../domain/ports/store.ts';
import { decodeCursor, pageOf } from '../pagination.ts';
import { problems, type RouteApp, type Services, withToken } from '../route.ts';

const cursorSchema = z.tuple([z.int(), z.int()]);

/** `GET /audit` */
export function listAudit(app: RouteApp, services: Services): void {
  app.get(
    '/audit',
    {
      config: { scope: 'audit' },
      schema: {
        operationId: 'listAudit',
        summary: 'List actions of operators and refused requests, newest first',
        description:
          'Triggers, cancels, retries, deletions, verifications, blocks, limits, commands and access to content, and requests without a valid token or scope. Reads of records and lists are not in it.',
        tags: ['operations'],
        security: withToken,
        querystring: auditQuerySchema,
        response: { 200: auditListSchema, ...problems },
      },
    },
    async (request) => {
      const { client_id, actor, action, outcome, since, until, limit, cursor } = request.query;
      const [at, id] = cursor === undefined ? [] : decodeCursor(cursor, cursorSchema);
      // The list includes all requests that were refused before it was requested.
      await services.refusals.flush();
      const found = await services.store.listAudit({
        clientId: client_id,
        actor,
        action,
        outcome,
        since: since === undefined ? undefined : Date.parse(since),
        until: until === undefined ? undefined : Date.parse(until),
        after: at === undefined || id === undefined ? undefined : { at, id },
        limit: limit + 1,
      });
      const { page, nextCursor } = pageOf(found, limit, (last) => [last.at, last.id]);
      return { events: page.map(toAuditRecord), next_cursor: nextCursor };
    },
  );
}

function toAuditRecord(event: RecordedAudit): AuditRecord {
  const { id, actor, action, address, refusal, count } = event;
  // Earlier command lines show no outcome: without the error a refused action would look like an accepted one.
  const detail = refusal === null ? event.detail : { error: refusal.error, ...event.detail };
  return {
    id,
    at: new Date(event.at).toISOString(),
    actor,
    address,
    action,
    client_id: event.clientId,
    upload_id: event.uploadId,
    outcome: refusal === null ? 'accepted' : refusal.status < 500 ? 'refused' : 'failed',
    status: refusal?.status ?? null,
    error: refusal?.error ?? null,
    count,
    detail: Object.fromEntries(Object.entries(detail).map(([name, value]) => [toSnakeCase(name), value])),
  };
}

function toSnakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
