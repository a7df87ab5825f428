import { clientStatusSchema } from '@backhaul/protocol';
import { describeClient } from '../client-record.ts';
import { clientParams, problems, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

/** `GET /status/{client_id}` */
export const status: Routes = (services) => (app, _options, done) => {
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
  done();
};
