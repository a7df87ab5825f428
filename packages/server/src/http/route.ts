import {
  clientIdSchema,
  type Diagnosis,
  problemSchema,
  type Readiness,
  uploadIdSchema,
} from '@backhaul/protocol';
import type { FastifyPluginCallbackZod } from 'fastify-type-provider-zod';
import { z } from 'zod';
import type { RefusedRequests } from '../domain/refused-requests.ts';
import type { ClientService } from '../domain/agents/client-service.ts';
import type { CommandRunner } from '../domain/agents/command-runner.ts';
import type { Bus } from '../domain/ports/bus.ts';
import type { Store } from '../domain/ports/store.ts';
import type { LiveProgress } from '../domain/uploads/live-progress.ts';
import type { ObjectVerifier } from '../domain/uploads/verify.ts';
import type { UploadService } from '../domain/uploads/service.ts';
import type { ClientAddresses } from './client-addresses.ts';
import type { HeldRequests } from './held-requests.ts';

/** Dependencies of the routes. */
export interface Services {
  readonly uploads: UploadService;
  readonly verifier: ObjectVerifier;
  readonly clients: ClientService;
  readonly commands: CommandRunner;
  readonly refusals: RefusedRequests;
  readonly store: Pick<Store, 'listChangesAfter' | 'lastChange' | 'getUpload' | 'appendAudit' | 'listAudit'>;
  readonly bus: Bus;
  readonly progress: Pick<LiveProgress, 'bytesInFlight' | 'subscribe'>;
  readonly held: HeldRequests;
  readonly addresses: ClientAddresses;
  /** Maximum waiting time of a request that came through a reverse proxy; seconds. */
  readonly proxyWaitSeconds: number;
  readonly readiness: () => Promise<Readiness>;
  readonly diagnosis: () => Promise<Diagnosis>;
  readonly metrics: () => Promise<{ contentType: string; text: string }>;
  /** Aborts when the server starts to shut down. */
  readonly shutdown: AbortSignal;
}

/** Where a route is registered; types of its requests and responses come from the zod schemas. */
export type RouteApp = Parameters<FastifyPluginCallbackZod>[0];

/** Registers one route. */
export type Route = (app: RouteApp, services: Services) => void;

export const clientParams = z.object({ client_id: clientIdSchema });
export const uploadParams = z.object({ upload_id: uploadIdSchema });

/** OpenAPI: every error of every route has this shape. */
export const problems = { '4xx': problemSchema, '5xx': problemSchema } as const;

/** OpenAPI: the route needs no token. */
export const openToAll = [{}];

/** OpenAPI: the route needs a token. */
export const withToken = [{ bearer: [] }];

/**
 * Aborts when a response is finished or its reader has disconnected. Listens on the response, not the socket: a
 * keep-alive connection would collect a listener for each request.
 */
export function whenClosed(response: NodeJS.EventEmitter): AbortSignal {
  const closed = new AbortController();
  response.once('close', () => closed.abort());
  return closed.signal;
}
