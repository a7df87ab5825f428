import { z } from 'zod';

/** Fields of a workspace's package.json that the build knows. An unknown field stops the build. */
export const manifestSchema = z.strictObject({
  name: z.string(),
  version: z.string(),
  private: z.boolean().optional(),
  description: z.string(),
  license: z.string(),
  type: z.literal('module'),
  bin: z.record(z.string(), z.string()).optional(),
  exports: z.record(z.string(), z.string()).optional(),
  imports: z.record(z.string(), z.union([z.string(), z.record(z.string(), z.string())])).optional(),
  dependencies: z.record(z.string(), z.string()).optional(),
  devDependencies: z.record(z.string(), z.string()).optional(),
  engines: z.record(z.string(), z.string()).optional(),
});
export type Manifest = z.infer<typeof manifestSchema>;

/** Compiled path of a source below `src/`; undefined for other paths. */
export function compiledPath(source: string, extension: '.js' | '.d.ts'): string | undefined {
  const match = /^\.\/src\/(.+)\.ts$/.exec(source);
  return match === null ? undefined : `./dist/${match[1]}${extension}`;
}

/**
 * The package.json of a published package: compiled code instead of sources, no development dependencies, and the
 * present versions of the workspaces. Exports that are neither sources nor programs (test data) are omitted.
 *
 * @param versions Versions of the workspaces, by name.
 */
export function publishedManifest(manifest: Manifest, versions: ReadonlyMap<string, string>): object {
  const {
    devDependencies: _development,
    private: _private,
    exports,
    imports,
    dependencies,
    ...rest
  } = manifest;
  return {
    ...rest,
    files: ['bin', 'dist'],
    ...(exports && { exports: mapTargets(exports, exportTarget) }),
    ...(imports && { imports: mapTargets(imports, importTarget) }),
    ...(dependencies && {
      dependencies: Object.fromEntries(
        Object.entries(dependencies).map(([name, range]) => [name, versions.get(name) ?? range]),
      ),
    }),
  };
}

/** File with the licences of the bundled libraries. */
export const NOTICES_FILE = 'THIRD-PARTY-NOTICES.txt';

/** The package.json of a bundled program: without dependencies and without exports. */
export function bundledManifest(manifest: Manifest): object {
  const { dependencies: _inside, exports: _modules, ...program } = manifest;
  const published = publishedManifest(program, new Map());
  return { ...published, files: ['bin', 'dist', NOTICES_FILE] };
}

function exportTarget(target: string): string | object | undefined {
  if (target.startsWith('./bin/')) return target;
  const code = compiledPath(target, '.js');
  // Conditions are tried in order, so `types` comes first.
  return code === undefined ? undefined : { types: compiledPath(target, '.d.ts'), default: code };
}

function importTarget(target: string | Record<string, string>): string | object | undefined {
  return typeof target === 'string' ? compiledPath(target, '.js') : mapTargets(target, importTarget);
}

function mapTargets<T>(
  targets: Readonly<Record<string, T>>,
  map: (target: T) => string | object | undefined,
): object {
  return Object.fromEntries(
    Object.entries(targets).flatMap(([name, target]) => {
      const mapped = map(target);
      return mapped === undefined ? [] : [[name, mapped]];
    }),
  );
}
