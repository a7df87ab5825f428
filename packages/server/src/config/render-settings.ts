import { settingGroups, type SettingName, settingOf } from './settings.ts';

/** The file `docs/configuration.md`. */
export function configurationPage(): string {
  const sections = settingGroups.flatMap(({ heading, names }) => [
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
  'This page is generated from the tables of settings in `packages/server/src/config/`; change them and run `npm run docs`.',
  '',
  'A setting comes from a flag, else from the environment, else from the file given to `--config`, else from the',
  'default. An empty text counts as not set. Paths are relative to the working directory. The file is one JSON',
  'object with the names below as its keys. With an unknown key or an invalid value the server does not start, and one',
  'message names all of them.',
  '',
  '```',
  'backhaul-server [--dev] [--host HOST] [--port PORT] [--config FILE] [--setup-bucket]',
  'backhaul-server backup FILE [--config FILE] [--dev]',
  '```',
  '',
  'With `--dev` no setting is required: state, secrets and an embedded object store are in `.backhaul/` in the working',
  'directory. That store listens on this machine only, so agents have to run there too; it is not started if',
  '`S3_ENDPOINT` or `S3_BUCKET_NAME` is set.',
  '',
  'Secrets are never flags, because other users of a machine can see flags. For `systemd` credentials or mounted',
  'secrets, put them into a file that only the server can read and name the file with `--config`.',
  '',
  '`backup` copies the database to a new FILE; [backup.md](backup.md) describes backup and restore.',
  '',
  '## Setting up the bucket',
  '',
  '`--setup-bucket` creates the bucket if there is none, turns on default encryption, versioning and the block of public',
  'access, and adds a lifecycle rule that aborts incomplete uploads after 7 days. Then the server starts. Existing settings',
  'stay, so the flag may be given at every start. The log has a line for each step (`bucket set up`) with its `outcome`:',
  '',
  '- `done`, or `already` if nothing had to be changed.',
  '- `not_supported`: the store does not offer the setting, accepts but does not keep it, or fails writes with it. The server',
  '  writes and removes a small object and a part before the first change and after each one. If these writes worked before',
  '  and fail afterwards, the change is undone, and the line says so. The next start with the flag tries again; omit the flag',
  '  if a moment of failing writes does harm.',
  '- `failed`: the line has the reason, and for a change that could not be undone the command that undoes it. The log also',
  '  has that command before each change (`changing the bucket; …`), in case the process is killed. SIGTERM ends the setup',
  '  between two steps.',
  '',
  'The server exits only if the bucket cannot be reached or created: with exit code 2 and the same message as without the',
  'flag, or with 1 if waiting may help (the store is unavailable, or the clock is wrong). `backhaul doctor` shows which',
  'settings the bucket lacks. On stores other than AWS it cannot know the result of the setup in advance; its advice then',
  'says when not to follow it.',
  '',
];

/** The file `.env.example`. Required settings are active, the others commented out. */
export function envExample(): string {
  const sections = settingGroups.flatMap(({ heading, names }) => [
    `# ${heading}`,
    '',
    ...names.flatMap((name) => [...envLines(name), '']),
  ]);
  return [...envHead, ...sections].join('\n');
}

const envHead = [
  '# Settings of backhaul-server. Copy to .env and fill in; an empty value counts as not set.',
  '# Generated from the tables of settings in packages/server/src/config/ by `npm run docs`.',
  '',
];

function envLines(name: SettingName): string[] {
  const { required, secret, example } = settingOf(name);
  const comment = wrapWords(explanation(name), 98).map((line) => `# ${line}`);
  if (!required?.startsWith('without')) return [...comment, `# ${name}=${example}`];
  // The example of a secret, if left in place, would be a publicly known secret.
  return [...comment, `${name}=${secret ? '' : example}`];
}

/** The section ENVIRONMENT of `--help`, for 80 columns. */
export function settingSections(): string {
  const groups = settingGroups.map(({ heading, names }) => {
    const entries = names.flatMap((name) => [
      `    ${name}`,
      ...wrapWords(explanation(name), 72).map((line) => `        ${line}`),
    ]);
    return [`    ${heading}:`, '', ...entries].join('\n');
  });
  return groups.join('\n\n');
}

/** Plain text: the meaning, when the setting is required, and the behaviour without it. */
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
