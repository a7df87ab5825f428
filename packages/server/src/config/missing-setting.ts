import type { SettingProblem } from './config-error.ts';
import { type SettingName, settingOf } from './settings.ts';

/** Says what the setting is for and what it looks like. */
export function missing(name: SettingName): SettingProblem {
  const { required, description, example } = settingOf(name);
  const when = required === undefined ? '' : ` (required ${required})`;
  return {
    setting: name,
    message: `${name} is not set${when}. ${description} Example: ${name}=${example}`,
  };
}
