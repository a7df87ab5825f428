import fastifySwagger from '@fastify/swagger';
import fastifySwaggerUi from '@fastify/swagger-ui';
import Fastify, { type FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { SERVER_VERSION } from '../version.ts';
import { type RouteTools, registerRoutes } from './routes.ts';

/** `/openapi.json` and the page at `/docs`, both made from the routes' own schemas. */
export async function registerOpenApi(app: FastifyInstance): Promise<void> {
  await app.register(fastifySwagger, {
    openapi: {
      openapi: '3.1.0',
      info: {
        title: 'Backhaul',
        version: SERVER_VERSION,
        description:
          'Pull files from machines you cannot reach. Errors are `application/problem+json` with a stable `code`.',
        license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
      },
      tags: [
        { name: 'uploads', description: 'Pulls of files' },
        { name: 'events', description: 'Live changes' },
        { name: 'clients', description: 'Machines with an agent' },
        { name: 'operations', description: 'For whoever runs the server' },
      ],
      components: {
        securitySchemes: {
          bearer: {
            type: 'http',
            scheme: 'bearer',
            bearerFormat: 'JWT',
            description: 'An operator’s token: `backhaul token operator`.',
          },
        },
      },
    },
    transform: jsonSchemaTransform,
    transformObject: jsonSchemaTransformObject,
  });
  await app.register(fastifySwaggerUi, { routePrefix: '/docs', logLevel: 'warn' });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

/** The API description without a running server, for the documentation. */
export async function buildOpenApi(): Promise<object> {
  const app = Fastify();
  await registerOpenApi(app);
  // Nothing is called: the routes are only looked at.
  registerRoutes(app, {} as RouteTools);
  await app.ready();
  const description = app.swagger();
  await app.close();
  return description;
}
