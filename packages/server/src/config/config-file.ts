import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { z } from 'zod';
import type { SettingProblem } from './config-error.ts';
import { isSettingName, type SettingName } from './settings.ts';

export interface ConfigFile {
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
