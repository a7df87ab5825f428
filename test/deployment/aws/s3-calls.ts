import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const serverSources = join(import.meta.dirname, '../../../packages/server/src');
/** Files used only by `--setup-bucket`. */
const setupFiles = new Set([
  's3/setup/bucket-setup.ts',
  's3/setup/bucket-changes.ts',
  's3/setup/trial-write.ts',
]);

export interface S3Calls {
  /** S3's names, with ` (version)` for calls that may name a version. */
  readonly server: ReadonlySet<string>;
  /** Calls of `--setup-bucket` only. */
  readonly setup: ReadonlySet<string>;
}

/**
 * Returns every S3 call that the server's sources can make, or sign for others. @throws Error where that is unclear.
 */
export function callsOfServer(): S3Calls {
  const server = new Set<string>();
  const setup = new Set<string>();
  const files = globSync('**/*.ts', { cwd: serverSources }).filter(
    (file) => !/\.test\.ts$|\/fake-|(^|\/)(fakes|model)\/|-conformance\.ts$|\.d\.ts$/.test(file),
  );
  for (const file of files) {
    const calls = callsIn(file, readFileSync(join(serverSources, file), 'utf8'));
    for (const call of calls) (setupFiles.has(file) ? setup : server).add(call);
  }
  return { server, setup: setup.difference(server) };
}

function callsIn(file: string, source: string): string[] {
  const foreign = [...source.matchAll(/from '(@aws-sdk\/[^']+)'/g)].filter(
    ([, name]) => name !== '@aws-sdk/client-s3',
  );
  if (foreign.length > 0) throw new Error(`${file} imports ${foreign[0]?.[1]}, whose rights are not checked`);
  if (/import \* as \w+ from '@aws-sdk\//.test(source))
    throw new Error(`${file} does not name what it imports`);
  if (!source.includes("'@aws-sdk/client-s3'")) return presignedIn(file, source);
  const imported = new Set(
    [...source.matchAll(/import (?!type)\{([^}]*)\} from '@aws-sdk\/client-s3'/g)].flatMap(([, names]) =>
      [...(names ?? '').matchAll(/(?<!type )\b(\w+)Command\b/g)].map(([, name]) => name ?? ''),
    ),
  );
  const made = [...source.matchAll(/\bnew (\w+)Command\(/g)].map((match) => ({
    name: match[1] ?? '',
    text: argumentsAt(source, match.index + match[0].length),
  }));
  const unmade = imported.difference(new Set(made.map(({ name }) => name)));
  if (unmade.size > 0) throw new Error(`${file}: how ${[...unmade].join(', ')} is called cannot be seen`);
  return [
    ...made.map(({ name, text }) => (/\bVersionId\b/.test(text) ? `${name} (version)` : name)),
    ...presignedIn(file, source),
  ];
}

/** Clients with a presigned URL use the server's permissions. */
function presignedIn(file: string, source: string): string[] {
  return [...source.matchAll(/(?<!function )\bpresignUrl\(/g)].map((match) => {
    const text = argumentsAt(source, match.index + match[0].length);
    const method = /\bmethod: '(\w+)'/.exec(text)?.[1];
    if (method === 'PUT' && /\bpartNumber\b/.test(source)) return 'UploadPart';
    // Matches a query parameter, not the type of a request.
    if (method === 'GET') return /\bversionId: (?!string)/.test(source) ? 'GetObject (version)' : 'GetObject';
    throw new Error(`${file}: what is presigned cannot be seen`);
  });
}

/** Returns the text between an opening parenthesis and its closing one. */
function argumentsAt(source: string, start: number): string {
  let depth = 1;
  let end = start;
  while (depth > 0 && end < source.length) {
    if (source[end] === '(') depth += 1;
    if (source[end] === ')') depth -= 1;
    end += 1;
  }
  return source.slice(start, end);
}
