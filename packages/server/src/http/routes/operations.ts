import {
  BackhaulError,
  CONNECT_PATH,
  diagnosisSchema,
  problemSchema,
  readinessSchema,
} from '@backhaul/protocol';
import { z } from 'zod';
import { openToAll, problems, type Route, type RouteApp, type Services, withToken } from '../route.ts';

export const operationRoutes: readonly Route[] = [
  getLiveness,
  getReadiness,
  getMetrics,
  getDiagnosis,
  refusePlainConnect,
];

/** `GET /healthz` */
function getLiveness(app: RouteApp): void {
  app.get(
    '/healthz',
    {
      logLevel: 'warn',
      schema: {
        operationId: 'getLiveness',
        summary: 'Whether the process is alive',
        tags: ['operations'],
        security: openToAll,
        response: { 200: z.object({ status: z.literal('ok') }), ...problems },
      },
    },
    async () => ({ status: 'ok' as const }),
  );
}

/** `GET /readyz` */
function getReadiness(app: RouteApp, services: Services): void {
  app.get(
    '/readyz',
    {
      logLevel: 'warn',
      config: { insiderScope: 'read' },
      schema: {
        operationId: 'getReadiness',
        summary: 'Whether database, bus and object store respond',
        description: 'Needs no token. `detail`, the reason of a failure, needs the scope `read`.',
        tags: ['operations'],
        security: [...openToAll, ...withToken],
        response: { 200: readinessSchema, 503: readinessSchema, '4xx': problemSchema },
      },
    },
    async ({ isInsider }, reply) => {
      const { ready, checks } = await services.readiness();
      // Details name the bucket and addresses inside the network.
      const shown = isInsider
        ? checks
        : Object.fromEntries(Object.entries(checks).map(([name, { ok }]) => [name, { ok, detail: null }]));
      return reply.code(ready ? 200 : 503).send({ ready, checks: shown });
    },
  );
}

/** `GET /metrics` */
function getMetrics(app: RouteApp, services: Services): void {
  app.get(
    '/metrics',
    {
      logLevel: 'warn',
      config: { scope: 'metrics' },
      schema: {
        operationId: 'getMetrics',
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
}

/** `GET /doctor` */
function getDiagnosis(app: RouteApp, services: Services): void {
  app.get(
    '/doctor',
    {
      config: { scope: 'admin' },
      schema: {
        operationId: 'getDiagnosis',
        summary: 'Diagnosis of the server’s settings and bucket',
        tags: ['operations'],
        security: withToken,
        response: { 200: diagnosisSchema, ...problems },
      },
    },
    async (request) => {
      // The object store may take minutes.
      using _held = services.held.hold(request.operator);
      return await services.diagnosis();
    },
  );
}

/** A plain request to the agents' path. */
function refusePlainConnect(app: RouteApp): void {
  // A proxy that does not pass on the upgrade makes a plain request of it.
  app.get(CONNECT_PATH, { schema: { hide: true } }, async (_request, reply) => {
    void reply.header('upgrade', 'websocket');
    throw new BackhaulError(
      'upgrade_required',
      `${CONNECT_PATH} accepts only WebSocket connections of agents, and this request does not ask for an upgrade. If an agent sent it, configure the proxy in front of the server to pass on the headers Upgrade and Connection (nginx: proxy_http_version 1.1; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade").`,
    );
  });
}
