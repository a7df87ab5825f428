import {
  type BackhaulError,
  clientIdSchema,
  commandNames,
  errorTable,
  uploadIdSchema,
} from '@backhaul/protocol';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { networkOf } from './client-addresses.ts';
import type { Services } from './route.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Action in the audit. A route without one only reads. */
    audit?: string;
  }
  interface FastifyRequest {
    /** Parameters of the action, for the audit of a refusal. Set by the handler, once they are validated. */
    auditDetail: Readonly<Record<string, unknown>> | null;
  }
}

/** Action of routes whose path names the command. */
export const ANY_COMMAND = 'client.command';
/** Action of requests without a valid token, and of reads without their scope. */
const ANY_REQUEST = 'request';

/**
 * Decides which failed requests are audited: on every route those without a valid token or without the scope, and on
 * routes with an action all of them.
 */
export function auditRefusals(
  app: FastifyInstance,
  services: Pick<Services, 'refusals' | 'addresses'>,
): (request: FastifyRequest, error: BackhaulError) => void {
  app.decorateRequest('auditDetail', null);
  return (request, error) => {
    const { scope, audit } = request.routeOptions.config;
    // Every request fails during a shutdown; that is no decision about this one.
    if (scope === undefined || error.code === 'shutting_down') return;
    const actor = request.operator === '' ? null : request.operator;
    if (audit === undefined && actor !== null && error.code !== 'forbidden') return;
    const { refusals, addresses } = services;
    const address = addresses.of(request.raw);
    const refusal = { status: errorTable[error.code].httpStatus, error: error.code };
    const from = { address, network: networkOf(address), refusal, reason: error.reason ?? null };
    const route = `${request.method} ${request.routeOptions.url ?? ''}`;
    if (actor === null) {
      // No fields that the caller can choose, except the route of the first of several requests.
      const detail = { firstRequest: route };
      refusals.record({ ...from, actor, action: ANY_REQUEST, clientId: null, uploadId: null, detail });
      return;
    }
    const { client_id, upload_id, name } = request.params as Readonly<Record<string, unknown>>;
    const command = commandNames.find((known) => known === name);
    refusals.record({
      ...from,
      actor,
      action: audit === ANY_COMMAND && command !== undefined ? `client.${command}` : (audit ?? ANY_REQUEST),
      clientId: clientIdSchema.safeParse(client_id).data ?? null,
      uploadId: uploadIdSchema.safeParse(upload_id).data ?? null,
      detail: audit === undefined ? { request: route } : (request.auditDetail ?? {}),
    });
  };
}
