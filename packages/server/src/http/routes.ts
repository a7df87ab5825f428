import { BackhaulError, type OperatorClaims } from '@backhaul/protocol';
import type { FastifyInstance } from 'fastify';
import { serializerCompiler, validatorCompiler } from 'fastify-type-provider-zod';
import { registerAuthentication } from './authentication.ts';
import { registerProblems } from './problem.ts';
import { clients } from './routes/clients.ts';
import { events } from './routes/events.ts';
import { operations } from './routes/operations.ts';
import { status } from './routes/status.ts';
import { triggerDownload } from './routes/trigger-download.ts';
import { uploadContent } from './routes/upload-content.ts';
import { uploadVerification } from './routes/upload-verification.ts';
import { uploads } from './routes/uploads.ts';
import type { Services } from './services.ts';

export interface RouteTools {
  readonly services: Services;
  /** @throws BackhaulError `unauthorized` */
  readonly verifyOperator: (token: string) => Promise<OperatorClaims>;
}

/** Every path of the API. */
export function registerRoutes(app: FastifyInstance, { services, verifyOperator }: RouteTools): void {
  app.setValidatorCompiler(validatorCompiler);
  app.setSerializerCompiler(serializerCompiler);
  registerProblems(app);
  app.addHook('onRequest', async () => {
    if (services.shutdown.aborted) throw new BackhaulError('shutting_down');
  });
  registerAuthentication(app, verifyOperator);
  for (const routes of [
    triggerDownload,
    status,
    uploads,
    uploadContent,
    uploadVerification,
    events,
    clients,
    operations,
  ]) {
    void app.register(routes(services));
  }
}
