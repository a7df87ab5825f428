import { type SettingName, settingNames, settingOf } from './settings.ts';

/** The settings under their headings, in the order of the table. */
function settingGroups(): { readonly heading: string; readonly names: readonly SettingName[] }[] {
  const groups = Map.groupBy(settingNames, (name) => settingOf(name).group);
  return [...groups].map(([heading, names]) => ({ heading, names }));
}

/** The file `docs/configuration.md`. */
export function configurationPage(): string {
  const sections = settingGroups().flatMap(({ heading, names }) => [
    `## ${heading}`,
    '',
    ...names.flatMap((name) => [...pageEntry(name), '']),
  ]);
  return [...pageHead, ...sections].join('\n');
}

function pageEntry(name: SettingName): string[] {
  const { description, required, default: fallback, unset, flag, secret, example } = settingOf(name);
  return [
    `### \`${name}\``,
    '',
    description,
    '',
    ...(required === undefined ? [] : [`- **Required** ${required}.`]),
    ...(fallback === undefined ? [] : [`- Default: \`${fallback}\``]),
    ...(unset === undefined ? [] : [`- Not set: ${unset}`]),
    ...(flag === undefined ? [] : [`- Flag: \`--${flag}\``]),
    ...(secret ? ['- Secret: its value is never shown.'] : []),
    `- Example: \`${name}=${example}\``,
  ];
}

const pageHead = [
  '# Configuration of the server',
  '',
  'This page is generated from `packages/server/src/config/settings.ts`; change it there and run `npm run docs`.',
  '',
  'A setting comes from a flag, else from the environment, else from the file given to `--config`, else from the',
  'default. An empty text counts as not set. Paths are relative to the working directory. The file is one JSON',
  'object with the names below as its keys; a key that is not among them stops the start, as does any value that',
  'is not understood, with one message that names all of them.',
  '',
  '```',
  'backhaul-server [--dev] [--host HOST] [--port PORT] [--config FILE] [--setup-bucket]',
  'backhaul-server backup FILE [--config FILE] [--dev]',
  '```',
  '',
  'With `--dev` nothing has to be set: state, secrets and an embedded object store live under `.backhaul/` in the',
  'working directory. That store listens on this machine only, so agents have to run there too; it is left out',
  'when `S3_ENDPOINT` or `S3_BUCKET_NAME` is set.',
  '',
  'Secrets are never flags, because other users of a machine can see those. For `systemd` credentials or mounted',
  'secrets, put them into a file that only the server can read and name that with `--config`.',
  '',
  '`backup` copies the database to a new FILE; [backup.md](backup.md) says how, and how to restore it.',
  '',
  '## Setting up the bucket',
  '',
  '`--setup-bucket` creates the bucket if there is none, turns on default encryption, versioning and the block of public',
  'access, and adds a lifecycle rule that aborts incomplete uploads after 7 days. Then the server starts. What is there',
  'already stays, so the flag may be given at every start. Each step is a line of the log (`bucket set up`) with its',
  '`outcome`:',
  '',
  '- `done`, or `already`.',
  '- `not_supported`: the store does not offer it, accepts it and forgets it, or fails writes with it. A small object and',
  '  a part are written, and removed, before the first change and after each one. If these writes worked before and fail',
  '  afterwards, the change is undone, and the line says so. Nothing remembers it: the next start with the flag tries again,',
  '  and says the same; leave the flag out where a moment of failing writes does harm.',
  '- `failed`: the reason, and for a change that could not be undone the command that undoes it. Before each change the log',
  '  has that command too (`changing the bucket; …`), for a process that is killed there. SIGTERM ends the setup between',
  '  two steps.',
  '',
  'Only a bucket that cannot be reached or created ends the start: with exit status 2 and the sentence of a start without',
  'the flag, or with 1 if waiting may help (the store is away, or the clock is wrong). `backhaul doctor` shows what the',
  'bucket lacks. On stores other than AWS it cannot know what the setup would find; its advice then says when not to',
  'follow it.',
  '',
];

/** The file `.env.example`. What has to be set stands open, the rest commented out. */
export function envExample(): string {
  const sections = settingGroups().flatMap(({ heading, names }) => [
    `# ${heading}`,
    '',
    ...names.flatMap((name) => [...envLines(name), '']),
  ]);
  return [...envHead, ...sections].join('\n');
}

const envHead = [
  '# Settings of backhaul-server. Copy to .env and fill in; an empty value counts as not set.',
  '# Generated from packages/server/src/config/settings.ts by `npm run docs`.',
  '',
];

function envLines(name: SettingName): string[] {
  const { required, secret, example } = settingOf(name);
  const comment = wrapWords(explanation(name), 98).map((line) => `# ${line}`);
  if (!required?.startsWith('without')) return [...comment, `# ${name}=${example}`];
  // The example of a secret, left standing, would be a secret that everybody knows.
  return [...comment, `${name}=${secret ? '' : example}`];
}

/** The section ENVIRONMENT of `--help`, for 80 columns. */
export function settingSections(): string {
  const groups = settingGroups().map(({ heading, names }) => {
    const entries = names.flatMap((name) => [
      `    ${name}`,
      ...wrapWords(explanation(name), 72).map((line) => `        ${line}`),
    ]);
    return [`    ${heading}:`, '', ...entries].join('\n');
  });
  return groups.join('\n\n');
}

/** Plain text: meaning, when it is required, and what holds when it is not set. */
function explanation(name: SettingName): string {
  const { description, required, default: fallback, unset } = settingOf(name);
  return [
    description,
    ...(required === undefined ? [] : [`Required ${required}.`]),
    ...(fallback === undefined ? [] : [`Default: ${fallback}.`]),
    ...(unset === undefined ? [] : [`Not set: ${unset}`]),
  ]
    .join(' ')
    .replaceAll('`', '');
}

/** Lines of at most `width` characters, unless one word alone is longer. */
export function wrapWords(text: string, width: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= width)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
