import type { SettingProblem } from './config-error.ts';
import { type SettingName, settingOf } from './settings.ts';

/** The problem of a missing setting, with its description and an example. */
export function missing(name: SettingName): SettingProblem {
  const { required, description, example } = settingOf(name);
  const when = required === undefined ? '' : ` (required ${required})`;
  return {
    setting: name,
    message: `${name} is not set${when}. ${description} Example: ${name}=${example}`,
  };
}
