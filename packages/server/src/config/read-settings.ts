import { accessSync, constants, readFileSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { type ProxyVariables, readProxyVariables } from '@backhaul/program';
import { z } from 'zod';
import type { SettingProblem } from './config-error.ts';
import { isSettingName, type SettingName, settingNames, settingOf, type SettingValues } from './settings.ts';

/** A source of settings. Earlier sources win; an empty text counts as not set. */
export interface SettingSource {
  /** Text for "NAME (…)" in messages; null for the name alone. */
  readonly label: (name: SettingName) => string | null;
  readonly get: (name: SettingName) => string | undefined;
}

export interface ReadSettings {
  readonly values: SettingValues;
  /** Set by the user, rather than by the table's default. */
  readonly isSet: (name: SettingName) => boolean;
}

/**
 * @param problems Gets one entry for each invalid value; its setting then counts as not set.
 * @param names Settings to read; all others count as not set.
 */
export function readSettings(
  sources: readonly SettingSource[],
  problems: SettingProblem[],
  names: readonly SettingName[] = settingNames,
): ReadSettings {
  const values: Partial<Record<SettingName, unknown>> = {};
  const set = new Set<SettingName>();

  for (const name of names) {
    const { schema, default: fallback } = settingOf(name);
    const source = sources.find((candidate) => (candidate.get(name) ?? '') !== '');
    const text = source?.get(name) ?? fallback;
    if (source !== undefined) set.add(name);
    if (text === undefined) continue;
    const result = schema.safeParse(text);
    if (result.success) {
      values[name] = result.data;
    } else {
      const label = source?.label(name) ?? null;
      const subject = label === null ? name : `${name} (${label})`;
      const complaint = result.error.issues[0]?.message ?? 'is not valid';
      problems.push({ setting: name, message: `${subject} ${complaint}${shown(name, text)}.` });
    }
  }
  return { values: values as SettingValues, isSet: (name) => set.has(name) };
}

/** The value for a message. Omits secrets, and addresses, which may contain a password. */
function shown(name: SettingName, text: string): string {
  if (settingOf(name).secret || text.includes('://') || text.includes('@')) return '';
  return `; it is ${JSON.stringify(text.slice(0, 80))}`;
}

interface ConfigFile {
  readonly settings: ReadonlyMap<SettingName, string>;
  readonly problems: readonly SettingProblem[];
}

const fileSchema = z.record(z.string(), z.unknown());
const valueSchema = z.union([z.string(), z.number(), z.boolean()]);

/** Reads a JSON object whose keys are the names of the environment variables. */
export function readConfigFile(path: string, cwd: string): ConfigFile {
  const settings = new Map<SettingName, string>();
  const problems: SettingProblem[] = [];
  const complain = (message: string) => problems.push({ setting: '--config', message });

  for (const [key, given] of Object.entries(readObject(resolve(cwd, path), complain))) {
    const value = valueSchema.safeParse(given);
    if (!isSettingName(key)) {
      complain(`${JSON.stringify(key)} in ${path} is not a setting; see --help for the list.`);
    } else if (!value.success) {
      complain(`${key} in ${path} must be a string, a number, true or false.`);
    } else {
      settings.set(key, String(value.data));
    }
  }
  return { settings, problems };
}

function readObject(path: string, complain: (message: string) => void): Record<string, unknown> {
  let text: string;
  try {
    // Windows editors write a byte order mark, which JSON does not allow (RFC 8259, section 8.1).
    text = readFileSync(path, 'utf8').replace(/^\uFEFF/, '');
  } catch (error) {
    complain(`--config names ${path}, which cannot be read: ${(error as NodeJS.ErrnoException).code}.`);
    return {};
  }
  try {
    return fileSchema.parse(JSON.parse(text));
  } catch {
    // The parser's own message would quote a piece of the file, which may be a secret.
    complain(
      `--config names ${path}, which does not contain one JSON object such as {"S3_BUCKET_NAME": "my-app-uploads"}.`,
    );
    return {};
  }
}

type FileSetting = 'JWT_PUBLIC_KEY_FILE' | 'TLS_CERT_FILE' | 'TLS_KEY_FILE' | 'TLS_CLIENT_CA_FILE';

/** @returns The absolute path; null if the setting is not set, or if a problem was added. */
export function readablePath(
  { values }: ReadSettings,
  name: FileSetting,
  { cwd, problems }: { cwd: string; problems: SettingProblem[] },
): string | null {
  const given = values[name];
  if (given === undefined) return null;
  const path = resolve(cwd, given);
  const complaint = whyUnreadable(path);
  if (complaint === undefined) return path;
  problems.push({ setting: name, message: `${name} is set to ${path}, which ${complaint}.` });
  return null;
}

function whyUnreadable(path: string): string | undefined {
  try {
    accessSync(path, constants.R_OK);
    return statSync(path).isDirectory() ? 'is a directory' : undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    return code === 'ENOENT' ? 'does not exist' : `cannot be read: ${code}`;
  }
}

/** The problem of a missing setting, with its description and an example. */
export function missing(name: SettingName): SettingProblem {
  const { required, description, example } = settingOf(name);
  const when = required === undefined ? '' : ` (required ${required})`;
  return {
    setting: name,
    message: `${name} is not set${when}. ${description} Example: ${name}=${example}`,
  };
}

/** Proxy variables from any source of settings, read by the same rules as in all programs. */
export function proxyVariables({ HTTPS_PROXY, HTTP_PROXY, NO_PROXY }: SettingValues): ProxyVariables {
  return readProxyVariables({ HTTPS_PROXY, HTTP_PROXY, NO_PROXY });
}
