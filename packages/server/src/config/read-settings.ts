import type { SettingProblem } from './config-error.ts';
import { type SettingName, settingNames, settingOf, type SettingValues } from './settings.ts';

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
