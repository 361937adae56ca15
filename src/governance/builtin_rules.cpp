// The rules that are used where there is no governance.toml. Each is described in
// docs/guides/governance.md; the formats are those that the vendors document.
#include <array>

#include "nearlite/governance/rules.h"

namespace nearlite {
namespace {

struct Line {
  const char* name;
  const char* trigger;
  const char* pattern;
  const char* check;
  const char* about;
};

// The specific ones first: what they find is not found again by the general ones at the end.
constexpr std::array kSecrets = {
    Line{
        "private-key", R"(PRIVATE KEY)",
        R"(-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----(?:\s|\\[nr]|[A-Za-z-]+: [^\n\\]*(?:\n|\\n))*[0-9A-Za-z+/=]{24,}[0-9A-Za-z+/=\s\\]*(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?)",
        "", "a private key in PEM or PGP form"},
    Line{"age-key", R"(AGE-SECRET-KEY-1)", R"(AGE-SECRET-KEY-1[0-9A-Z]{58})", "", "age identity"},
    Line{"aws-access-key", R"((?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z])",
         R"(\b(?:AKIA|ASIA|ABIA|ACCA)[0-9A-Z]{16}\b)", "", "AWS access key id"},
    Line{
        "aws-secret-key", R"((?i)aws|secret.?access.?key)",
        R"((?i)(?:aws[a-z_ .-]{0,30}|secret[_ -]?access[_ -]?key)["']?\s{0,3}(?::|=>|=)\s{0,3}["']?([0-9A-Za-z/+]{40})(?:[^0-9A-Za-z/+=]|$))",
        "", "AWS secret access key"},
    Line{"github-token", R"(gh[pousr]_|github_pat_)",
         R"(\b(?:gh[pousr]_[0-9A-Za-z]{36,}|github_pat_[0-9A-Za-z]{22}_[0-9A-Za-z]{59})\b)", "",
         "GitHub token"},
    Line{"gitlab-token", R"(gl[a-z]{2,6}-)",
         R"(\bgl(?:pat|dt|rt|ptt|cbt|ft|soat|imt|agent|oas|rtr)-[0-9A-Za-z_.-]{20,})", "",
         "GitLab token"},
    Line{
        "slack-token", R"(xox[a-z]-|xapp-)",
        R"(\b(?:xox[abeoprs](?:\.xox[a-z])?-[0-9A-Za-z-]{10,}|xapp-[0-9]-[0-9A-Z]+-[0-9]+-[0-9a-f]{20,}))",
        "", "Slack token"},
    Line{
        "slack-webhook", R"(hooks\.slack\.com)",
        R"(hooks\.slack\.com/(?:services|workflows|triggers)/(T[0-9A-Z]{6,}/[0-9A-Z]{6,}/[0-9A-Za-z]{16,}))",
        "", "Slack webhook"},
    Line{"stripe-key", R"([sr]k_(?:live|test)_|whsec_)",
         R"(\b(?:[sr]k_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[0-9A-Za-z+/=]{24,}))", "",
         "Stripe secret, restricted or webhook key"},
    Line{"google-api-key", R"(AIza)", R"(\bAIza[0-9A-Za-z_-]{35})", "", "Google API key"},
    Line{"google-oauth", R"(GOCSPX-|ya29\.|1//0)",
         R"(\b(?:GOCSPX-[0-9A-Za-z_-]{28}|ya29\.[0-9A-Za-z_-]{20,}|1//0[0-9A-Za-z_-]{40,}))", "",
         "Google OAuth client secret or token"},
    Line{"twilio-key", R"(SK[0-9a-f]{8})", R"(\bSK[0-9a-f]{32}\b)", "", "Twilio API key"},
    Line{"sendgrid-key", R"(SG\.)", R"(\bSG\.[0-9A-Za-z_-]{16,32}\.[0-9A-Za-z_-]{30,64})", "",
         "SendGrid API key"},
    Line{"mailgun-key", R"(key-[0-9a-f]{8})", R"(\bkey-[0-9a-f]{32}\b)", "", "Mailgun API key"},
    Line{"mailchimp-key", R"([0-9a-f]-us[0-9])", R"(\b[0-9a-f]{32}-us[0-9]{1,2}\b)", "",
         "Mailchimp API key"},
    Line{"npm-token", R"(npm_)", R"(\bnpm_[0-9A-Za-z]{36}\b)", "", "npm token"},
    Line{"pypi-token", R"(pypi-AgE)", R"(\bpypi-AgE[0-9A-Za-z_-]{50,})", "", "PyPI token"},
    Line{"anthropic-key", R"(sk-ant-)", R"(\bsk-ant-[0-9a-z]+-[0-9A-Za-z_-]{20,})", "",
         "Anthropic API key"},
    Line{
        "openai-key", R"(sk-)",
        R"(\bsk-(?:(?:proj|svcacct|admin|None)-[0-9A-Za-z_-]{20,}|[0-9A-Za-z]{20}T3BlbkFJ[0-9A-Za-z]{20}|[0-9A-Za-z]{48}\b))",
        "", "OpenAI API key"},
    Line{"huggingface-token", R"(hf_|api_org_)", R"(\b(?:hf_|api_org_)[0-9A-Za-z]{34}\b)", "",
         "Hugging Face token"},
    Line{"digitalocean-token", R"(do[opr]_v1_)", R"(\bdo[opr]_v1_[0-9a-f]{64}\b)", "",
         "DigitalOcean token"},
    Line{"shopify-token", R"(shp[a-z]{2,3}_)", R"(\bshp(?:at|ca|pa|ss|tka|ua)_[0-9A-Fa-f]{32}\b)",
         "", "Shopify token"},
    Line{"square-token", R"(sq0[a-z]{3}-)",
         R"(\bsq0(?:atp|idp)-[0-9A-Za-z_-]{22}|\bsq0csp-[0-9A-Za-z_-]{43})", "", "Square token"},
    Line{"telegram-token", R"([0-9]:AA)",
         R"(\b([0-9]{8,10}:AA[0-9A-Za-z_-]{33})(?:[^0-9A-Za-z_-]|$))", "", "Telegram bot token"},
    Line{"discord-token", R"(\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{8})",
         R"(\b[MNO][0-9A-Za-z_-]{23,27}\.[0-9A-Za-z_-]{6}\.[0-9A-Za-z_-]{27,38})", "",
         "Discord bot token"},
    Line{"discord-webhook", R"(/api/webhooks/)",
         R"(discord(?:app)?\.com/api/webhooks/([0-9]{16,20}/[0-9A-Za-z_-]{60,}))", "",
         "Discord webhook"},
    Line{"azure-storage-key", R"((?i)AccountKey)", R"((?i)AccountKey\s?=\s?([0-9A-Za-z+/]{86}==))",
         "", "Azure storage account key"},
    Line{"azure-sas", R"(sig=)", R"([?&;]sig=([0-9A-Za-z%+/]{40,}=?))", "",
         "signature of an Azure shared access URL"},
    Line{"azure-client-secret", R"([0-9]Q~)",
         R"((?:^|[^0-9A-Za-z_~.-])([0-9A-Za-z_~.]{3}[0-9]Q~[0-9A-Za-z_~.-]{31,34}))", "",
         "Azure application secret"},
    Line{"databricks-token", R"(dapi[0-9a-f])", R"(\bdapi[0-9a-f]{32}(?:-[0-9])?\b)", "",
         "Databricks token"},
    Line{"dropbox-token", R"(sl\.)", R"(\bsl\.(?:u\.)?[0-9A-Za-z_-]{100,})", "", "Dropbox token"},
    Line{"atlassian-token", R"(ATATT3|ATCTT3)", R"(\bAT[AC]TT3[0-9A-Za-z_=-]{50,})", "",
         "Atlassian API token"},
    Line{"linear-key", R"(lin_api_)", R"(\blin_api_[0-9A-Za-z]{40}\b)", "", "Linear API key"},
    Line{"notion-token", R"(ntn_|secret_)",
         R"(\b(?:ntn_[0-9A-Za-z]{40,}|secret_[0-9A-Za-z]{43}\b))", "", "Notion token"},
    Line{"newrelic-key", R"(NRAK-)", R"(\bNRAK-[0-9A-Z]{27}\b)", "", "New Relic API key"},
    Line{"grafana-token", R"(glsa_|glc_)",
         R"(\b(?:glsa_[0-9A-Za-z]{32}_[0-9A-Fa-f]{8}|glc_[0-9A-Za-z+/=]{32,}))", "",
         "Grafana token"},
    Line{"vault-token", R"(hv[bsr]\.)", R"(\bhv[bsr]\.[0-9A-Za-z_-]{24,})", "",
         "HashiCorp Vault token"},
    Line{"terraform-token", R"(\.atlasv1\.)", R"(\b[0-9A-Za-z]{14}\.atlasv1\.[0-9A-Za-z_=-]{60,})",
         "", "Terraform Cloud token"},
    Line{"doppler-token", R"(dp\.[a-z])",
         R"(\bdp\.(?:pt|st|ct|sa|scim|audit)\.(?:[0-9a-z_-]+\.)?[0-9A-Za-z]{40,})", "",
         "Doppler token"},
    Line{"planetscale-token", R"(pscale_)", R"(\bpscale_(?:tkn|oauth|pw)_[0-9A-Za-z_=.-]{32,})", "",
         "PlanetScale token"},
    Line{"postman-key", R"(PMAK-)", R"(\bPMAK-[0-9a-f]{24}-[0-9a-f]{34}\b)", "", "Postman API key"},
    Line{"rubygems-key", R"(rubygems_)", R"(\brubygems_[0-9a-f]{48}\b)", "", "RubyGems API key"},
    Line{"crates-token", R"(cio[0-9A-Za-z])", R"(\bcio[0-9A-Za-z]{32}\b)", "entropy",
         "crates.io token"},
    Line{"supabase-token", R"(sbp_)", R"(\bsbp_[0-9a-f]{40}\b)", "", "Supabase token"},
    Line{"docker-token", R"(dckr_)", R"(\bdckr_(?:pat|oat)_[0-9A-Za-z_-]{27,})", "",
         "Docker token"},
    Line{"figma-token", R"(figd_)", R"(\bfigd_[0-9A-Za-z_-]{40,})", "", "Figma token"},
    Line{"airtable-token", R"(pat[0-9A-Za-z]{14}\.)", R"(\bpat[0-9A-Za-z]{14}\.[0-9a-f]{64}\b)", "",
         "Airtable token"},
    Line{"heroku-key", R"(HRKU-)", R"(\bHRKU-[0-9A-Za-z_-]{36,})", "", "Heroku API key"},
    Line{"pulumi-token", R"(pul-[0-9a-f])", R"(\bpul-[0-9a-f]{40}\b)", "", "Pulumi token"},
    Line{"sentry-token", R"(sntry)", R"(\bsntry[su]_[0-9A-Za-z+/=_-]{40,})", "", "Sentry token"},
    Line{"jwt", R"(eyJ)", R"(\beyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]{8,})", "",
         "JSON web token"},
    Line{
        "authorization-header", R"((?i)authorization)",
        R"((?i)authorization["']?\s{0,3}[:=]\s{0,3}["']?(?:bearer|basic|token|apikey)\s+([^\s"',;]{8,}))",
        "told-password", "credentials in an Authorization header"},
    Line{"bearer-token", R"((?i)bearer\s)", R"((?i)\bbearer\s+([0-9A-Za-z._~+/-]{16,}=*))",
         "assigned-token", "a bearer token"},
    Line{
        "url-password", R"(:[^\s/@]+@)",
        R"(\b[A-Za-z][A-Za-z0-9+.-]{1,20}://[^\s/:@"'<>]{0,64}:([^\s/@"'<>]{3,128})@[0-9A-Za-z\[])",
        "url-password", "the password in a URL"},
    Line{
        "password", R"((?i)passw|passphrase|pwd|kennwort|passwort)",
        R"((?i)(?:passw(?:or)?d|passphrase|pwd|passwort|kennwort)["'`]?\s{0,4}(?::=|=>|:|=)\s{0,4}["'`]?([^\s"'`<>,;]{6,}))",
        "password", "what a password is set to"},
    Line{
        "password-told", R"((?i)passw|passphrase|kennwort|passwort)",
        R"((?i)(?:password|passphrase|passwort|kennwort)\s+(?:is|was|ist|lautet|to)(?:\s+now)?:?\s+["'`]?([^\s"'`<>,;]{6,}))",
        "told-password", "a password told in a sentence"},
    Line{
        "assigned-secret", R"((?i)key|token|secret)",
        R"((?i)(?:(?:api|secret|access|auth|private|signing|encryption|client|app|master|refresh|session|service|account)[_ .-]?(?:key|token|secret)(?:[_ .-]?(?:key|base))?|secret|token)["'`]?\s{0,4}(?::=|=>|:|=)\s{0,4}["'`]?([0-9A-Za-z_./+=~-]{16,}))",
        "assigned-token", "what a key, token or secret is set to"},
    Line{"random-token", R"([0-9A-Za-z_+=-]{20})", R"([0-9A-Za-z_+=-]{20,})", "entropy",
         "a run of 20 to 128 characters that only chance makes"},
};

constexpr std::array kPersonal = {
    Line{
        "mail-address", R"([0-9A-Za-z_+-]@[0-9A-Za-z])",
        R"([0-9A-Za-z_][0-9A-Za-z._%+'-]{0,63}@(?:[0-9A-Za-z](?:[0-9A-Za-z-]{0,62})\.)+[A-Za-z]{2,24}\b)",
        "mail", "mail address"},
    Line{
        "card-number", R"([0-9]{4}[ -]?[0-9]{4,6}[ -]?[0-9])",
        R"((?:^|[^0-9A-Za-z.,_/-])(3[0-9]{3}[ -][0-9]{6}[ -][0-9]{4,5}|(?:[0-9]{4}[ -]?){2,4}[0-9]{1,7}))",
        "card", "payment card number (issuer, length and check digit fit)"},
    Line{"iban", R"([A-Z]{2}[0-9]{2} ?[0-9A-Z]{4})",
         R"(\b[A-Z]{2}[0-9]{2}(?: ?[0-9A-Z]{4}){2,7}(?: ?[0-9A-Z]{1,3})?\b)", "iban",
         "international bank account number (country, length and check digits fit)"},
    Line{"us-ssn", R"((?i)ssn|social.security)",
         R"((?i)(?:\bssn|social[ -]security)[^0-9\n]{0,40}\b([0-9]{3}-[0-9]{2}-[0-9]{4})\b)", "ssn",
         "US social security number"},
    Line{
        "phone-international", R"(\+[1-9])",
        R"((?:^|[^0-9A-Za-z+@*/^)])(\+[1-9][0-9]{0,2}[ .\x{A0}/(-]{0,2}(?:[0-9][ .\x{A0}/()-]{0,2}){5,13}[0-9]))",
        "phone", "telephone number with a country code"},
    Line{
        "phone-us", R"([0-9]{3}\)?[ .-][2-9][0-9]{2}[.-][0-9]{4})",
        R"((?:^|[^0-9A-Za-z.+/_-])((?:1[ .-])?(?:\([2-9][0-9]{2}\) ?|[2-9][0-9]{2}[ .-])[2-9][0-9]{2}[.-][0-9]{4})(?:[^0-9A-Za-z_.-]|[.]?\s|[.]?$))",
        "", "North American telephone number"},
    Line{
        "phone-labelled", R"((?i)tel|phone|fax|mobil|cell|handy|call)",
        R"((?i)\b(?:tel|telefon|telephone|phone|fax|mobile|mobil|cell|handy|call)\.?(?: (?:number|nr|no)\.?)?(?: is)?[ :=]{1,3}(\(?[0-9][0-9 ./()\x{A0}-]{5,18}[0-9]))",
        "labelled-phone", "what is called a telephone number"},
};

constexpr std::array kLicences = {
    Line{
        "agpl-3.0", R"((?i)affero|agpl)",
        R"((?i)\bgnu\s+affero\s+general\s+public\s+licen[sc]e|\bAGPL(?:[- ]?v?(?:ersion )?3|v3)|(?:under|licen[sc]ed?)[:\s](?:\s*(?:the|terms|of|is|as|an?|gnu)\b)*\s*AGPL\b)",
        "", "GNU Affero General Public License"},
    Line{
        "lgpl-3.0", R"((?i)lesser\s+general|library\s+general|lgpl)",
        R"((?i)\bgnu\s+(?:lesser|library)\s+general\s+public\s+licen[sc]e|\bLGPL(?:[- ]?v?(?:ersion )?[23]|v[23])|(?:under|licen[sc]ed?)[:\s](?:\s*(?:the|terms|of|is|as|an?|gnu)\b)*\s*LGPL\b)",
        "", "GNU Lesser General Public License"},
    Line{
        "gpl-2.0", R"((?i)general\s+public\s+licen|gpl)",
        R"((?i)\bgnu\s+general\s+public\s+licen[sc]e,?\s+(?:\(gpl\)\s+)?(?:as\s+published\s+by\s+the\s+free\s+software\s+foundation[,;]?\s+)?(?:either\s+)?v(?:ersion|\.)?\s*2|\bGPL[- ]?(?:v|version )?2\b)",
        "", "GNU General Public License, version 2"},
    Line{
        "gpl-3.0", R"((?i)general\s+public\s+licen|gpl)",
        R"((?i)\bgnu\s+general\s+public\s+licen[sc]e|\bGPL[- ]?(?:v|version )?3\b|(?:under|licen[sc]ed?)[:\s](?:\s*(?:the|terms|of|is|as|a|gnu)\b)*\s*GPL\b)",
        "", "GNU General Public License"},
    Line{
        "cc-by-nc-4.0", R"((?i)commercial|by-nc)",
        R"((?i)\bcc[- ]by[- ]nc|creative\s+commons\s+attribution[\s-]+non-?\s?commercial|(?:for\s+)?non-?\s?commercial\s+(?:use|usage|purposes?|licen[sc]e)|not\s+for\s+commercial\s+(?:use|purposes?))",
        "", "Creative Commons non-commercial, and other terms that exclude commercial use"},
};

constexpr std::array kRisks = {
    Line{
        "eval-use", R"(eval\s*\()",
        R"((?:^|[^0-9A-Za-z_.$>:])((?:(?:window|globalThis|self|builtins|__builtins__)\.)?eval\s*\(\s*[^)\s]))",
        "call", "use of eval"},
    Line{
        "subprocess-shell", R"(shell\s*=\s*True)",
        R"((?:subprocess\.)?(?:run|call|Popen|check_call|check_output)\s*\((?s:.){0,300}?shell\s*=\s*True)",
        "", "subprocess with shell"},
    Line{"pickle-load", R"((?i)pickle|dill\.|joblib)",
         R"(\b(?:c?[pP]ickle|dill|joblib)\.(?:loads?|Unpickler)\s*\()", "",
         "untrusted pickle load"},
    Line{"yaml-load", R"(yaml\.)", R"(\byaml\.(?:load|load_all|unsafe_load|full_load)\s*\()",
         "yaml-load", "yaml load without safe loader"},
    Line{
        "prompt-injection", R"((?i)ignore|disregard|forget)",
        R"((?i)\b(?:ignore|disregard|forget)\s+(?:all\s+|any\s+|every\s+)?(?:of\s+)?(?:the\s+|your\s+|my\s+)?(?:previous|prior|above|preceding|earlier|foregoing)\s+(?:instructions?|prompts?|directions?|rules)\b)",
        "", "text that gives orders to a language model"},
};

template <std::size_t N>
void add(RuleSet& set, RuleKind kind, GateAction action, const std::array<Line, N>& lines) {
  for (const Line& line : lines) {
    set.rules.push_back({.name = line.name,
                         .kind = kind,
                         .action = action,
                         .pattern = line.pattern,
                         .trigger = line.trigger,
                         .check = line.check,
                         .about = line.about});
  }
}

RuleSet make_rules() {
  RuleSet set;
  add(set, RuleKind::kSecret, GateAction::kRedact, kSecrets);
  add(set, RuleKind::kPersonal, GateAction::kRedact, kPersonal);
  add(set, RuleKind::kLicence, GateAction::kBlock, kLicences);
  add(set, RuleKind::kRisk, GateAction::kQuarantine, kRisks);
  return set;
}

}  // namespace

const RuleSet& builtin_rules() {
  static const RuleSet set = make_rules();
  return set;
}

}  // namespace nearlite
