import {
  BackhaulError,
  blockRequestSchema,
  clientBlockSchema,
  clientListQuerySchema,
  clientListSchema,
  clientStatusSchema,
  clientSummarySchema,
  COMMAND_PROBLEM_EVENT,
  COMMAND_PROGRESS_EVENT,
  COMMAND_RESULT_EVENT,
  commandAnswerSchema,
  commandNames,
  commands,
  describeIssues,
  uploadLimitsRequestSchema,
} from '@backhaul/protocol';
import { z } from 'zod';
import { ANY_COMMAND } from '../audit-refusals.ts';
import { CommandProgressStream } from '../command-progress-stream.ts';
import { decodeCursor, pageOf } from '../pagination.ts';
import { describeClient, toClientBlock, toClientSummary } from '../records.ts';
import {
  clientParams,
  problems,
  type Route,
  type RouteApp,
  type Services,
  whenClosed,
  withToken,
} from '../route.ts';

const cursorSchema = z.tuple([z.string()]);

export const clientRoutes: readonly Route[] = [
  getClientStatus,
  listClients,
  setClientLimits,
  deleteClient,
  blockClient,
  unblockClient,
  runCommand,
];

/** `GET /status/{client_id}` */
function getClientStatus(app: RouteApp, services: Services): void {
  app.get(
    '/status/:client_id',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'getClientStatus',
        summary: 'Connection, active uploads and last upload of a client',
        tags: ['clients'],
        security: withToken,
        params: clientParams,
        response: { 200: clientStatusSchema, ...problems },
      },
    },
    async (request) => describeClient(services, request.params.client_id),
  );
}

/** `GET /clients` */
function listClients(app: RouteApp, services: Services): void {
  app.get(
    '/clients',
    {
      config: { scope: 'read' },
      schema: {
        operationId: 'listClients',
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
        labels: label?.map(splitLabel),
        after,
        limit: limit + 1,
      });
      const { page, nextCursor } = pageOf(found, limit, (last) => [last.clientId]);
      return { clients: page.map(toClientSummary), next_cursor: nextCursor };
    },
  );
}

/** `PUT /clients/{client_id}/limits` */
function setClientLimits(app: RouteApp, services: Services): void {
  app.put(
    '/clients/:client_id/limits',
    {
      config: { scope: 'admin', audit: 'client.limit' },
      schema: {
        operationId: 'setClientLimits',
        summary: 'Set the limits of a client’s uploads',
        description:
          'For each upload separately, from its next attempt on; an absent limit restores the server’s. Limits of a trigger take precedence. The agent never exceeds its own --parallel-parts and --max-rate, whatever is set here.',
        tags: ['clients'],
        security: withToken,
        params: clientParams,
        body: uploadLimitsRequestSchema,
        response: { 200: clientSummarySchema, ...problems },
      },
    },
    async (request) => {
      request.auditDetail = { limits: request.body };
      const client = await services.clients.limit(request.params.client_id, {
        limits: request.body,
        by: request.operator,
        from: services.addresses.of(request.raw),
      });
      return toClientSummary(client);
    },
  );
}

/** `DELETE /clients/{client_id}` */
function deleteClient(app: RouteApp, services: Services): void {
  app.delete(
    '/clients/:client_id',
    {
      config: { scope: 'admin', audit: 'client.forget' },
      schema: {
        operationId: 'deleteClient',
        summary: 'Remove a client',
        description: 'Its uploads stay. It is known again once it reconnects.',
        tags: ['clients'],
        security: withToken,
        params: clientParams,
        response: { 204: z.null(), ...problems },
      },
    },
    async (request, reply) => {
      await services.clients.forget(request.params.client_id, request.operator, {
        from: services.addresses.of(request.raw),
      });
      return reply.code(204).send(null);
    },
  );
}

/** `PUT /clients/{client_id}/block` */
function blockClient(app: RouteApp, services: Services): void {
  app.put(
    '/clients/:client_id/block',
    {
      config: { scope: 'admin', audit: 'client.block' },
      schema: {
        operationId: 'blockClient',
        summary: 'Block a client',
        description:
          'Its connection is closed, and its agent is refused until the client is unblocked. Its uploads wait, and expire at their deadlines; new ones are refused with `client_blocked`. Also works for a client that has never connected.',
        tags: ['clients'],
        security: withToken,
        params: clientParams,
        body: blockRequestSchema.nullish(),
        response: { 200: clientBlockSchema, ...problems },
      },
    },
    async (request) => {
      const reason = request.body?.reason ?? null;
      request.auditDetail = { reason };
      const block = await services.clients.block(request.params.client_id, {
        by: request.operator,
        reason,
        from: services.addresses.of(request.raw),
      });
      return toClientBlock(block);
    },
  );
}

/** `DELETE /clients/{client_id}/block` */
function unblockClient(app: RouteApp, services: Services): void {
  app.delete(
    '/clients/:client_id/block',
    {
      config: { scope: 'admin', audit: 'client.unblock' },
      schema: {
        operationId: 'unblockClient',
        summary: 'Unblock a client',
        description: 'Its agent reconnects on its own within two minutes. No error if it is not blocked.',
        tags: ['clients'],
        security: withToken,
        params: clientParams,
        response: { 204: z.null(), ...problems },
      },
    },
    async (request, reply) => {
      await services.clients.unblock(request.params.client_id, request.operator, {
        from: services.addresses.of(request.raw),
      });
      return reply.code(204).send(null);
    },
  );
}

/** `POST /clients/{client_id}/commands/{name}` */
function runCommand(app: RouteApp, services: Services): void {
  app.post(
    '/clients/:client_id/commands/:name',
    {
      config: { scope: 'trigger', audit: ANY_COMMAND },
      schema: {
        operationId: 'runCommand',
        summary: 'Run a command on a connected agent',
        description: `Commands: ${commandNames.join(', ')}. With \`accept: text/event-stream\` a command that reports progress responds with server-sent events once it has reported any: \`${COMMAND_PROGRESS_EVENT}\`, then one \`${COMMAND_RESULT_EVENT}\` with the usual response, or one \`${COMMAND_PROBLEM_EVENT}\`. Closing the request cancels such a command.`,
        tags: ['clients'],
        security: withToken,
        params: clientParams.extend({ name: z.string().max(64) }),
        body: z.record(z.string(), z.unknown()).nullish(),
        response: { 200: commandAnswerSchema, ...problems },
      },
    },
    async (request, reply) => {
      const closed = whenClosed(reply.raw);
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
      request.auditDetail = parameters.data;
      await services.clients.mustBeKnown(client_id);
      // The agent may use the command's whole time limit.
      using _held = services.held.hold(request.operator);
      await services.store.appendAudit({
        at: Date.now(),
        actor: request.operator,
        address: services.addresses.of(request.raw),
        action: `client.${name}`,
        clientId: client_id,
        uploadId: null,
        detail: parameters.data,
      });
      const startedAt = performance.now();
      const progress = new CommandProgressStream(request, reply);
      try {
        const { commandId, result } = await services.commands.run(client_id, name, parameters.data, {
          signal: closed,
          onProgress: (data) => progress.show(data),
        });
        const durationMs = Math.round(performance.now() - startedAt);
        return await progress.end({ command_id: commandId, duration_ms: durationMs, result });
      } catch (error) {
        // The requester has disconnected, which cancelled the command.
        if (closed.aborted) return reply.hijack();
        return progress.fail(error);
      }
    },
  );
}

function splitLabel(label: string): { name: string; value: string } {
  const at = label.indexOf('=');
  return { name: label.slice(0, at), value: label.slice(at + 1) };
}
