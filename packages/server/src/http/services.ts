import type { Diagnosis, Readiness } from '@backhaul/protocol';
import type { FastifyPluginCallbackZod } from 'fastify-type-provider-zod';
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

/** A group of routes. */
export type Routes = (services: Services) => FastifyPluginCallbackZod;
