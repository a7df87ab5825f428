import { diagnosisSchema, readinessSchema } from '@backhaul/protocol';
import { z } from 'zod';
import { problems, withToken } from '../schemas.ts';
import type { Routes } from '../services.ts';

/** For whoever runs the server: `GET /healthz`, `/readyz`, `/metrics`, `/doctor` */
export const operations: Routes = (services) => (app, _options, done) => {
  app.get(
    '/healthz',
    {
      logLevel: 'warn',
      schema: {
        summary: 'Whether the process lives',
        tags: ['operations'],
        response: { 200: z.object({ status: z.literal('ok') }) },
      },
    },
    async () => ({ status: 'ok' as const }),
  );
  app.get(
    '/readyz',
    {
      logLevel: 'warn',
      schema: {
        summary: 'Whether database, bus and object store answer',
        tags: ['operations'],
        response: { 200: readinessSchema, 503: readinessSchema },
      },
    },
    async (_request, reply) => {
      const readiness = await services.readiness();
      return reply.code(readiness.ready ? 200 : 503).send(readiness);
    },
  );
  app.get(
    '/metrics',
    {
      logLevel: 'warn',
      config: { scope: 'read' },
      schema: {
        summary: 'Prometheus metrics',
        tags: ['operations'],
        security: withToken,
        response: { 200: z.string(), ...problems },
      },
    },
    async (_request, reply) => {
      const { contentType, text } = await services.metrics();
      return reply.type(contentType).serializer(String).send(text);
    },
  );
  app.get(
    '/doctor',
    {
      config: { scope: 'admin' },
      schema: {
        summary: 'What the server finds about its own settings and bucket',
        tags: ['operations'],
        security: withToken,
        response: { 200: diagnosisSchema, ...problems },
      },
    },
    () => services.diagnosis(),
  );
  done();
};
