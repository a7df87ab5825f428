import { anyText, keySetAddress, oneOf, type SettingRows, wholeNumber } from './setting.ts';

export const tokenSettings = {
  JWT_SECRET: {
    schema: anyText,
    unset: 'With --dev, one is generated and stored in .backhaul/.',
    required: 'without --dev, unless JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL is set',
    secret: true,
    description: 'Secret for signing tokens (HS256), at least 32 random bytes.',
    example: '"$(openssl rand -hex 32)"',
  },
  JWT_SECRET_PREVIOUS: {
    schema: anyText,
    unset: 'Only tokens signed with JWT_SECRET are accepted.',
    secret: true,
    description:
      'Previous secret, while agents and operators get new tokens: tokens signed with it are accepted, too. Unset it once `backhaul doctor` shows that no agent uses one.',
    example: '"$OLD_JWT_SECRET"',
  },
  JWT_PUBLIC_KEY_FILE: {
    schema: anyText,
    secret: false,
    description:
      'PEM file of the public key for verifying tokens: RSA (RS256), P-256 (ES256) or Ed25519 (EdDSA).',
    example: '/etc/backhaul/jwt-public.pem',
  },
  JWT_JWKS_URL: {
    schema: keySetAddress,
    secret: false,
    description: 'Address of the key set of an identity provider (RS256, ES256 or EdDSA).',
    example: 'https://id.example.com/.well-known/jwks.json',
  },
  JWT_JWKS_MAX_AGE_SECONDS: {
    schema: wholeNumber(60, 2_592_000),
    default: '86400',
    secret: false,
    description:
      'Seconds for which the last key set of JWT_JWKS_URL is used while the provider cannot be reached; after that, tokens are refused with 503. A key that the provider withdraws during its outage is accepted until then.',
    example: '3600',
  },
  JWT_ISSUER: {
    schema: anyText,
    unset: '`backhaul`, the issuer of `backhaul token`.',
    secret: false,
    description:
      'The `iss` of tokens. This and the following settings are for tokens of your own identity provider, and need JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL.',
    example: 'https://id.example.com/realms/factory',
  },
  JWT_AGENT_AUDIENCE: {
    schema: anyText,
    unset: '`backhaul-agent`.',
    secret: false,
    description: 'The `aud` of agents’ tokens.',
    example: 'https://backhaul.example.com/agents',
  },
  JWT_OPERATOR_AUDIENCE: {
    schema: anyText,
    unset: '`backhaul-operator`.',
    secret: false,
    description: 'The `aud` of operators’ tokens.',
    example: 'https://backhaul.example.com/api',
  },
  JWT_AGENT_TYPE: {
    schema: anyText,
    unset: '`backhaul-agent+jwt`.',
    secret: false,
    description:
      'The header `typ` of agents’ tokens; `any` accepts every one. Agents and operators need different audiences or types.',
    example: 'at+jwt',
  },
  JWT_OPERATOR_TYPE: {
    schema: anyText,
    unset: '`backhaul-operator+jwt`.',
    secret: false,
    description: 'The header `typ` of operators’ tokens; `any` accepts every one.',
    example: 'at+jwt',
  },
  JWT_SCOPE_CLAIM: {
    schema: anyText,
    unset: '`scope`.',
    secret: false,
    description:
      'The claim with an operator’s scopes: words separated by spaces, or a list. With any of these settings, words that are not scopes of Backhaul are ignored, and `scope_version` is not needed.',
    example: 'permissions',
  },
  LEGACY_READ_SCOPE: {
    schema: oneOf(['grace', 'off']),
    default: 'grace',
    secret: false,
    description:
      'Meaning of `read` in operators’ tokens without the claim `scope_version`, which are older than the separate scopes `content` and `metrics`. With `grace` it includes both until 31 days after this version first started on the database, and each use is logged; `off` ends that immediately.',
    example: 'off',
  },
  TOKEN_RENEWAL: {
    schema: oneOf(['on', 'off']),
    default: 'on',
    secret: false,
    description:
      'Whether tokens of agents that have a state directory are renewed over their connections, once two thirds of their life have passed: with JWT_SECRET only. A token is refused once the one that renews it was used, whatever is set here.',
    example: 'off',
  },
} as const satisfies SettingRows;
