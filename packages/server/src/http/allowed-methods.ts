import type { FastifyInstance } from 'fastify';

/**
 * Remembers the methods of each path as routes are registered, because Fastify treats a known path with a wrong
 * method like an unknown path.
 *
 * @returns the methods of a path; empty for one that does not exist.
 */
export function trackMethods(app: FastifyInstance): (path: string) => string[] {
  const methods = new Map<string, { pattern: RegExp; methods: Set<string> }>();
  app.addHook('onRoute', ({ url, method }) => {
    const route = methods.get(url) ?? { pattern: patternOf(url), methods: new Set() };
    methods.set(url, route);
    for (const one of [method].flat()) route.methods.add(one);
  });
  return (path) =>
    [...methods.values()].flatMap((route) => (route.pattern.test(path) ? [...route.methods] : []));
}

/** `/uploads/:upload_id` matches `/uploads/x`, not `/uploads/x/y`. */
function patternOf(url: string): RegExp {
  const segments = url.split('/').map((segment) => {
    if (segment.startsWith(':')) return '[^/]+';
    return segment === '*' ? '.*' : RegExp.escape(segment);
  });
  return new RegExp(`^${segments.join('/')}$`);
}
