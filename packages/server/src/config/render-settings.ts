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
