// What JavaScript and TypeScript look like that attack. See shell.yar for the form; "combined" rules hold for a whole
// text, and are shown at the pattern whose name begins with "at".

rule runs_decoded {
  meta: shows = "js_decoded_code" judge = "clear"
  strings:
    $eval = /\b(eval|Function|setTimeout|setInterval|execScript|runInThisContext|runInNewContext|vm\.Script|_compile)\s*\)?\s*\(\s*[^\n;]{0,160}\b(atob|Buffer\.from|unescape|decodeURIComponent|fromCharCode|inflateSync|gunzipSync|brotliDecompressSync|unzipSync)\b/
    $indirect = /\(\s*[\w.]{1,20}\s*,\s*eval\s*\)\s*\([^\n]{0,200}/
    $constructor = /\[?["']?constructor["']?\]?\s*[.\[]\s*["']?constructor["']?\]?\s*\(\s*[^\s)]/
    $global = /\b(globalThis|global|window|self)\s*\[\s*(["'](\\x[0-9a-f]{2}|ev|e")|atob|String\.fromCharCode|\w{1,20}\s*\+)[^\n]{0,200}\]\s*\(/
    $require = /\brequire\s*\(\s*(atob|Buffer\.from|String\.fromCharCode|["'](\\x[0-9a-f]{2}){4,})/
    $buffer = /Buffer\.from\s*\([^\n]{20,4000}["'](base64|hex)["']\s*\)[^\n]{0,40}toString[^\n]{0,60}\)?\s*[;,)\n][^\x00]{0,400}\b(eval|Function|vm\.run\w{0,20}|exec(Sync)?|child_process)\s*\(/
  condition: any of them
}

rule runs_downloaded {
  meta: shows = "js_downloaded_code" judge = "downloaded"
  strings:
    $fetched = /\b(fetch|axios(\.(get|request|default))?|https?\.(get|request)|got|needle|request|superagent\.get|XMLHttpRequest|undici)\b[^\x00]{0,800}\b(eval|new\s+Function|Function|vm\.run\w{1,20}|vm\.Script|_compile|runInThisContext)\s*\(/
    $imported = /\bimport\s*\(\s*["'`](https?:|data:text\/javascript)[^\n]{3,300}/
    $script = /\bcreateElement\s*\(\s*["']script["']\s*\)[^\x00]{0,200}\.src\s*=\s*["'`]http:\/\/[^\n]{3,200}/
    $saved = /\b(fetch|axios|https?\.get|got|download)\b[^\x00]{0,900}\b(writeFile(Sync)?|createWriteStream)\b[^\x00]{0,600}\b(spawn|exec|execFile|fork|execSync|spawnSync|execFileSync)\s*\(/
  condition: any of them
}

rule runs_answer {
  meta: shows = "js_downloaded_code" judge = "clear"
  strings:
    $ended = /\bhttps?["']?\)?\.(get|request)\s*\([^\x00]{0,500}\.on\(\s*["'`]end["'`][^\x00]{0,120}\b(exec|execSync|spawn|eval|Function)\s*\(\s*[A-Za-z_]/
  condition: any of them
}

rule runs_shell_download {
  meta: shows = "js_downloaded_code" judge = "address"
  strings:
    $exec = /\b(exec|execSync|spawn|spawnSync|execFile|execFileSync|execa|execaCommand|\$)\s*\(?\s*["'`][^\n]{0,40}\b(curl|wget|powershell|certutil|bitsadmin|mshta)\b[^\n]{0,500}(\|\s*(ba|z)?sh|\|\s*node|\biex\b|&&|;|-o\b|-OutFile|-urlcache|https?:)/i
  condition: any of them
}

rule obfuscated_names {
  meta: shows = "js_obfuscation" judge = "obfuscated"
  strings:
    $names = /\b_0x[0-9a-f]{4,6}\b/
    $short = /\b_0x[0-9a-f]{2,6}\b[^\n]{0,40}=\s*\[\s*["'](\\x[0-9a-f]{2}){4,}/
    $array = /(function\s+_0x[0-9a-f]{4,6}|const\s+_0x[0-9a-f]{4,6}\s*=\s*_0x|\(function\s*\(\s*_0x[0-9a-f]{4,6}\s*,\s*_0x[0-9a-f]{4,6}\s*\))/
    $hex = /(\\x[0-9a-f]{2}){16,}/i
    $unicode = /(\\u00[0-9a-f]{2}){16,}/i
    $jsfuck = /[\[\]()!+]{120,}/
    $codes = /String\.fromCharCode\s*\(\s*(\d{2,3}\s*,\s*){20,}/
    $packer = /eval\s*\(\s*function\s*\(\s*p\s*,\s*a\s*,\s*c\s*,\s*k\s*,\s*e\s*,\s*[dr]\s*\)/
    $aaencode = "ﾟωﾟﾉ"
  condition: any of them
}

rule runs_obfuscated {
  meta: shows = "js_decoded_code" judge = "obfuscated_run"
  strings:
    $at = /\b(new\s+Function|eval|Function)\s*\(\s*(["']\w{1,10}["']\s*,\s*)?_0x[0-9a-f]{2,6}/
    $at_named = /\bnew\s+Function\s*\(\s*[^)\n]{0,60}(\\x[0-9a-f]{2}){4,}/
  condition: any of them
}

rule sends_credentials_file {
  meta: shows = "js_secret_theft" judge = "theft"
  strings:
    $at_read = /\b(readFile(Sync)?|readFileAsync|createReadStream|copyFile(Sync)?|Bun\.file|Deno\.readTextFile(Sync)?|Deno\.readFile)\b[^\n]{0,200}(\.ssh\b|\.aws\b|\.npmrc|\.netrc|\.kube|\.docker|\.gnupg|\.git-credentials|id_rsa|id_ed25519|\.config\/(gh|gcloud|solana)|Login Data|Local State|wallet\.dat|Cookies|keychain|\.bash_history|\.zsh_history|\.env["'`]|\.pypirc|\/etc\/(passwd|shadow)|Local Storage|\.claude|\.openclaw|MetaMask|exodus)/i
    $at_listed = /["'`][^"'`\n]{0,60}(\.ssh\/|\.aws\/|\.npmrc|\.netrc|\.kube\/config|\.git-credentials|id_rsa|id_ed25519|Login Data|wallet\.dat|nkbihfbeogaeaoehlefnkodbefgpgknn|Local Extension Settings|\.config\/solana|leveldb)[^"'`\n]{0,60}["'`]/
    $at_keychain = /\b(exec|execSync|spawn|spawnSync|execFile|execFileSync)\s*\([^\n]{0,80}(security['", ]{1,6}(find-generic-password|find-internet-password|dump-keychain)|secret-tool['", ]{1,6}lookup|cmdkey|sqlite3[^\n]{0,80}(Login Data|Cookies))/
    $at_pattern = /\/[^\/\n]{0,20}\\?\.env\b[^\n]{0,120}(readFile|push|test\()/
  condition: any of them
}

rule sends_environment {
  meta: shows = "js_secret_theft" judge = "environment"
  strings:
    $stringify = /JSON\.stringify\s*\([^;\n]{0,200}\bprocess\.env\b\s*[,)}\]]/
    $entries = /Object\.(entries|keys|assign|fromEntries|values)\s*\([^;\n]{0,60}\bprocess\.env\b/
    $spread = /\.\.\.\s*process\.env\b|[\s:(,=]process\.env\s*[,;})\n]/
    $deno = /\bDeno\.env\.toObject\s*\(/
  condition: any of them
}

rule clipboard_swap {
  meta: shows = "js_wallet_swap" judge = "clear"
  strings:
    $swap = /\.(startsWith|test|match|indexOf|includes)\s*\([^\n]{0,120}\)[^\x00]{0,120}\b(address|addr|recipient|to|wallet|destination|text|clip\w{0,10})\s*=\s*[^=\n]{1,80}(swap|mine|my\w{0,12}|attacker|wallets?|replacement|["'`](bc1|0x[0-9a-fA-F]{20}|[13][a-km-zA-HJ-NP-Z1-9]{25}|T[A-Za-z1-9]{33}))/
    $clipboard = /(clipboard|readText|writeText|pbcopy|xclip)[^\x00]{0,600}(bc1|0x\[a-fA-F0-9\]|\^?0x|\[13\]\[a-km-z)[^\x00]{0,400}(writeText|write|pbcopy|xclip|clip)/i
    $ethereum = /\b(window\.ethereum|eth_sendTransaction|signTransaction)\b[^\x00]{0,400}\bto\s*[:=]\s*["'`]0x[0-9a-fA-F]{40}/
  condition: any of them
}

rule listens_to_keys {
  meta: shows = "js_input_capture" judge = "sends"
  strings:
    $at = /addEventListener\s*\(\s*["'](keydown|keypress|keyup|paste|copy)["'][^\x00]{0,600}\b(fetch|sendBeacon|XMLHttpRequest|WebSocket|new\s+Image|axios)\b/
    $at_form = /(password|credit-?card|cvv|cardnumber)[^\x00]{0,400}\b(sendBeacon|new\s+Image\s*\(\s*\)\s*\.src|fetch)\b[^\x00]{0,200}/i
    $at_cookie = /\b(sendBeacon|fetch|new\s+Image|XMLHttpRequest|axios)\b[^\n]{0,240}(document\.cookie|localStorage)\b/
  condition: any of them
}

rule starts_again {
  meta: shows = "js_persistence" judge = "written"
  strings:
    $at = /\b(writeFile(Sync)?|appendFile(Sync)?|createWriteStream|copyFile(Sync)?)\b[^\n]{0,200}(\.bashrc|\.zshrc|\.profile|\.bash_profile|LaunchAgents|systemd\/|\/etc\/cron|authorized_keys|\.git\/hooks|Startup|\.config\/autostart|CLAUDE\.md|settings\.json|\.claude\/|\.cursor\/|mcp\.json|AGENTS\.md)/
    $at_crontab = /\b(exec|execSync|spawn|spawnSync)\s*\([^\n]{0,200}(crontab|launchctl\s+load|systemctl\s+(--user\s+)?enable|schtasks|reg\s+add)/
  condition: any of them
}

rule destroys_home {
  meta: shows = "js_destruction" judge = "clear"
  strings:
    $rm = /\b(rmSync|rm|rmdirSync|removeSync|remove|emptyDirSync|rimraf(\.sync)?|rimrafSync|fs\.rm|fsp\.rm|rmdir)\s*\(\s*(os\.homedir\s*\(\s*\)|homedir\s*\(\s*\)|process\.env\.(HOME|USERPROFILE)|["'`](\/|~|C:\\\\|\/home|\/Users)["'`])\s*,/
    $exec = /\b(exec|execSync)\s*\(\s*["'`][^\n]{0,40}\brm\s+-\w*[rf]\w*[rf]\w*\s+(--no-preserve-root\s+)?(\/|~|~\/|\$HOME|\/\*|~\/\*)\s*["'`&;|]/
    $wipe = /\bhomedir\s*\(\s*\)[^\x00]{0,400}\breaddir(Sync)?\b[^\x00]{0,400}\b(unlink|rm|rimraf|truncate)(Sync)?\s*\(/
  condition: any of them
}

rule command_channel {
  meta: shows = "js_command_channel" judge = "channel"
  strings:
    $socket = /\b(net\.(connect|createConnection|Socket)|new\s+(net\.Socket|WebSocket)|dgram\.createSocket|io)\b[^\x00]{0,400}\.on(message)?\s*(\(\s*["'](data|message|cmd|command)["']|=)[^\x00]{0,240}\b(exec|execSync|spawn|spawnSync|eval|Function)\s*\(/
    $polled = /\bset(Interval|Timeout)\s*\([^\x00]{0,200}\b(fetch|axios|https?\.get|got)\b[^\x00]{0,400}\b(exec|execSync|spawn|eval|new\s+Function)\s*\(/
  condition: any of them
}
