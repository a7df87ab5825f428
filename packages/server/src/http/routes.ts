import { BackhaulError } from '@backhaul/protocol';
import type { FastifyInstance } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { type AuthenticationTools, registerAuthentication } from './authentication.ts';
import { auditRefusals } from './audit-refusals.ts';
import { registerProblems } from './problem.ts';
import { audit } from './routes/audit.ts';
import { clients } from './routes/clients.ts';
import { events } from './routes/events.ts';
import { operations } from './routes/operations.ts';
import { status } from './routes/status.ts';
import { triggerDownload } from './routes/trigger-download.ts';
import { uploadContent } from './routes/upload-content.ts';
import { uploadVerification } from './routes/upload-verification.ts';
import { uploads } from './routes/uploads.ts';
import type { Services } from './services.ts';

export interface RouteTools extends AuthenticationTools {
  readonly services: Services;
}

/** Registers every path of the API. */
export function registerRoutes(app: FastifyInstance, { services, ...authentication }: RouteTools): void {
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  registerProblems(app, auditRefusals(app, services));
  app.addHook('onRequest', (_request, _reply, done) => {
    done(services.shutdown.aborted ? new BackhaulError('shutting_down') : undefined);
  });
  registerAuthentication(app, authentication);
  for (const routes of [
    triggerDownload,
    status,
    uploads,
    uploadContent,
    uploadVerification,
    events,
    clients,
    operations,
    audit,
  ]) {
    void app.register(routes(services));
  }
}
