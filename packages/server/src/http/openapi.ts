import fastifySwagger from '@fastify/swagger';
import fastifySwaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import { jsonSchemaTransform, jsonSchemaTransformObject } from 'fastify-type-provider-zod';
import { SERVER_VERSION } from '../version.ts';

/** Everything the page loads comes from this server; its images are in its style sheet. */
const docsPolicy = {
  'default-src': "'none'",
  'script-src': "'self'",
  'style-src': "'self'",
  'img-src': "'self' data:",
  'connect-src': "'self'",
  'base-uri': "'none'",
  'form-action': "'none'",
  'frame-ancestors': "'none'",
};

/** An arrow that comes out of a box. */
const logo =
  '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 210 40" height="40">' +
  '<path d="M14 12H4v22h28V12H22M18 24V3m-7 7 7-7 7 7" fill="none" stroke="#4f9" stroke-width="4"/>' +
  '<text x="46" y="30" font-family="sans-serif" font-size="28" font-weight="bold" fill="#4f9">Backhaul</text></svg>';

/** `/openapi.json` and the page at `/docs`, both generated from the routes' own schemas. */
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
      // Where the description was found.
      servers: [{ url: '/' }],
      tags: [
        { name: 'uploads', description: 'Uploads of files' },
        { name: 'events', description: 'Live changes' },
        { name: 'clients', description: 'Machines with an agent' },
        { name: 'operations', description: 'For operators of the server' },
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
    transformObject: (document) => describeResponses(jsonSchemaTransformObject(document)),
  });
  const image = { type: 'image/svg+xml', content: Buffer.from(logo) };
  await app.register(fastifySwaggerUi, {
    routePrefix: '/docs',
    logLevel: 'warn',
    staticCSP: docsPolicy,
    logo: image,
    // For the page: it is one level below the API, whatever path a proxy uses.
    transformSpecification: (document) => ({ ...document, servers: [{ url: '..' }] }),
    theme: {
      title: 'Backhaul API',
      favicon: [{ ...image, filename: 'backhaul.svg', rel: 'icon', sizes: 'any' }],
    },
  });
  // Without the slash the page refers to its files by absolute paths, which do not exist below a proxy's path.
  app.addHook('onRequest', (request, reply, done) => {
    if (request.url === '/docs') void reply.redirect('docs/');
    else done();
  });
  // Relative, so that it also works below a proxy's path.
  app.get('/', { schema: { hide: true } }, async (_request, reply) => reply.redirect('docs/'));
  app.get('/openapi.json', { schema: { hide: true } }, async () => app.swagger());
}

const descriptions: Record<string, string> = {
  200: 'Done',
  202: 'Accepted and stored durably',
  204: 'Done; no content',
  302: 'Found at `Location`',
  503: 'Not ready',
  '4XX': 'Refused; `code` has the reason',
  '5XX': 'Failed; `code` has the reason',
};

interface ResponseObject {
  description?: string;
  content?: Record<string, { schema?: { $ref?: string } }>;
}

interface Operation {
  tags?: string[];
  responses?: Record<string, ResponseObject>;
}

interface Document {
  paths: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown> };
}

/** Adds what the generator cannot know: the meaning of each response, and the media types other than plain JSON. */
function describeResponses<Generated extends object>(generated: Generated): Generated {
  const { paths, components } = generated as unknown as Document;
  for (const { tags = [], responses = {} } of Object.values(paths).flatMap((path) => Object.values(path))) {
    for (const [status, response] of Object.entries(responses)) {
      response.description = descriptions[status] ?? 'Done';
      const json = response.content?.['application/json'];
      if (json?.schema?.$ref?.endsWith('/Problem') === true) {
        response.content = { 'application/problem+json': json };
      } else if (tags.includes('events') && json !== undefined) {
        response.content = { 'text/event-stream': json };
      }
    }
  }
  keepReachable(paths, components.schemas);
  return withPlainNames(generated, Object.keys(components.schemas));
}

/** The generator lists each schema twice, as sent and as received; one of them may be unused. */
function keepReachable(paths: Document['paths'], schemas: Document['components']['schemas']): void {
  const reached = new Set<string>();
  const waiting: unknown[] = [paths];
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const [, name = ''] of JSON.stringify(next).matchAll(/"#\/components\/schemas\/([^"]+)"/g)) {
      if (reached.has(name)) continue;
      reached.add(name);
      waiting.push(schemas[name]);
    }
  }
  for (const name of Object.keys(schemas)) if (!reached.has(name)) delete schemas[name];
}

/** A schema that is only received is named `XInput`; if there is no other X, it can be named X in generated clients. */
function withPlainNames<Generated extends object>(generated: Generated, names: readonly string[]): Generated {
  let text = JSON.stringify(generated);
  for (const name of names) {
    const plain = name.replace(/Input$/, '');
    if (names.includes(plain)) continue;
    text = text.replaceAll(`"#/components/schemas/${name}"`, `"#/components/schemas/${plain}"`);
    text = text.replace(`"${name}":{`, `"${plain}":{`);
  }
  return JSON.parse(text) as Generated;
}
