import {
  BackhaulError,
  clientListQuerySchema,
  clientListSchema,
  commandAnswerSchema,
  commandNames,
  commands,
  describeIssues,
} from '@backhaul/protocol';
import { z } from 'zod';
import { toClientSummary } from '../client-record.ts';
import { decodeCursor, encodeCursor } from '../cursor.ts';
import { clientParams, problems, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

const cursorSchema = z.tuple([z.string()]);

/** `GET /clients`, `DELETE /clients/{client_id}`, `POST /clients/{client_id}/commands/{name}` */
export const clients: Routes = (services) => (app, _options, done) => {
  app.get(
    '/clients',
    {
      config: { scope: 'read' },
      schema: {
        summary: 'List clients by client_id',
        tags: ['clients'],
        security: withToken,
        querystring: clientListQuerySchema,
        response: { 200: clientListSchema, ...problems },
      },
    },
    async (request) => {
      const { connected, label, limit, cursor } = request.query;
      const [after] = cursor === undefined ? [] : decodeCursor(cursor, cursorSchema);
      const found = await services.clients.list({
        connected: connected === undefined ? undefined : connected === 'true',
        label: label === undefined ? undefined : splitLabel(label),
        after,
        limit: limit + 1,
      });
      const page = found.slice(0, limit);
      const last = found.length > limit ? page.at(-1) : undefined;
      return {
        clients: page.map(toClientSummary),
        next_cursor: last === undefined ? null : encodeCursor([last.clientId]),
      };
    },
  );

  app.delete(
    '/clients/:client_id',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'Forget a client',
        description: 'Its uploads stay. It is known again once it connects again.',
        tags: ['clients'],
        security: withToken,
        params: clientParams,
        response: { 204: z.null(), ...problems },
      },
    },
    async (request, reply) => {
      await services.clients.forget(request.params.client_id, request.operator);
      return reply.code(204).send(null);
    },
  );

  app.post(
    '/clients/:client_id/commands/:name',
    {
      config: { scope: 'trigger' },
      schema: {
        summary: 'Run a command on a connected agent',
        description: `Commands: ${commandNames.join(', ')}.`,
        tags: ['clients'],
        security: withToken,
        params: clientParams.extend({ name: z.string().max(64) }),
        body: z.record(z.string(), z.unknown()).nullish(),
        response: { 200: commandAnswerSchema, ...problems },
      },
    },
    async (request) => {
      const { client_id, name: asked } = request.params;
      const name = commandNames.find((known) => known === asked);
      if (name === undefined) {
        throw new BackhaulError(
          'unknown_command',
          `There is no command "${asked}"; known: ${commandNames.join(', ')}.`,
        );
      }
      const parameters = commands[name].parameters.safeParse(request.body ?? {});
      if (!parameters.success) {
        throw new BackhaulError('invalid_request', `${name}: ${describeIssues(parameters.error)}`);
      }
      await services.clients.mustBeKnown(client_id);
      await services.store.appendAudit({
        at: Date.now(),
        actor: request.operator,
        action: `client.${name}`,
        clientId: client_id,
        uploadId: null,
        detail: parameters.data,
      });
      const startedAt = performance.now();
      const { commandId, result } = await services.commands.run(client_id, name, parameters.data);
      return { command_id: commandId, duration_ms: Math.round(performance.now() - startedAt), result };
    },
  );
  done();
};

function splitLabel(label: string): { name: string; value: string } {
  const at = label.indexOf('=');
  return { name: label.slice(0, at), value: label.slice(at + 1) };
}
