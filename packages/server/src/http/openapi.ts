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
    transformObject: (document) => describeAnswers(jsonSchemaTransformObject(document)),
  });
  await app.register(fastifySwaggerUi, { routePrefix: '/docs', logLevel: 'warn' });
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

const descriptions: Record<string, string> = {
  200: 'Done',
  202: 'Accepted, and durable',
  204: 'Done; there is nothing to say',
  302: 'Found at `Location`',
  503: 'Not ready',
  '4XX': 'Refused; `code` says why',
  '5XX': 'Failed; `code` says why',
};

interface Answer {
  description?: string;
  content?: Record<string, { schema?: { $ref?: string } }>;
}

interface Operation {
  tags?: string[];
  responses?: Record<string, Answer>;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
}

/** Adds what the generator cannot know: what each answer means, and the media types that are not plain JSON. */
function describeAnswers<Generated extends object>(generated: Generated): Generated {
  const { paths, components } = generated as unknown as Document;
  for (const { tags = [], responses = {} } of Object.values(paths).flatMap((path) => Object.values(path))) {
    for (const [status, answer] of Object.entries(responses)) {
      answer.description = descriptions[status] ?? 'Done';
      const json = answer.content?.['application/json'];
      if (json?.schema?.$ref?.endsWith('/Problem') === true) {
        answer.content = { 'application/problem+json': json };
      } else if (tags.includes('events') && json !== undefined) {
        answer.content = { 'text/event-stream': json };
      }
    }
  }
  // The generator lists each schema twice, as it is sent and as it is received.
  const used = JSON.stringify(paths) + JSON.stringify(components);
  for (const name of Object.keys(components.schemas)) {
    if (!used.includes(`"#/components/schemas/${name}"`)) delete components.schemas[name];
  }
  return generated;
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
