// What commands look like that attack, in scripts and wherever commands are written. Each rule names the rule of
// shell_rules.py that it belongs to (shows), and how its matches are judged (judge, see shell.py). Lines that continue
// are joined before; repetitions are bounded, since a text may be made to be slow.

rule piped_download {
  meta: shows = "download_execute" judge = "address"
  strings:
    $shell = /\b(curl|wget|fetch|lwp-request|aria2c|axel)\b[^\n]{0,600}\|\s*(sudo\s+)?(-\S+\s+){0,4}(env\s+)?(nohup\s+)?(\/[a-z\/]{1,20}\/)?(ba|z|da|a|k|c|fi|tc)?sh\b/
    $interpreter = /\b(curl|wget)\b[^\n]{0,600}\|\s*(sudo\s+)?(\/[a-z\/]{1,20}\/)?(python[0-9.]{0,4}|perl|ruby|node|php|bun|deno run|osascript)(\s+-)?\s*[\n;&|)"'`<>]/
    $substituted = /\b((ba|z|da|k)?sh|source|python[0-9.]{0,4}|perl|ruby|node)\s+(-\S+\s+){0,3}<\(\s*(curl|wget)\b[^\n]{0,600}/
    $dot = /(^|[\n;&|]\s*)\.\s+<\(\s*(curl|wget)\b[^\n]{0,600}/
    $string = /\b((ba|z|da|k)?sh|python[0-9.]{0,4}|perl|ruby|node|osascript)\s+(-\S+\s+){0,3}-(c|e|lc|ic)\s+\\?["']?(\$\(|`)\s*(curl|wget)\b[^\n]{0,600}/
    $here = /\b((ba|z|da|k)?sh|python[0-9.]{0,4})\s+(-\S+\s+){0,3}<<<\s*["']?(\$\(|`)\s*(curl|wget)\b[^\n]{0,600}/
    $eval = /\beval\s+["']?(\$\(|`)\s*(curl|wget)\b[^\n]{0,600}/
    $python = /\bpython[0-9.]{0,4}\s+-c\s+["'][^\n]{0,300}(exec|eval)\s*\([^\n]{0,200}(urlopen|requests\.get|httpx\.get|urllib)[^\n]{0,300}/
    $tee = /\b(curl|wget)\b[^\n]{0,400}(&&|;)\s*(sudo\s+)?(ba|z|da)?sh\s+[\w.\/~$"{}-]{1,80}/
    $powershell = /\b(iex|invoke-expression)\b[^\n]{0,80}(downloadstring|iwr|irm|invoke-webrequest|invoke-restmethod|webclient|curl|wget)\b[^\n]{0,600}/i
    $pipe_iex = /\b(iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring|curl|wget)\b[^\n]{0,600}\|\s*(iex|invoke-expression)\b/i
    $block = /scriptblock\]::create\s*\([^\n]{0,60}(iwr|irm|invoke-webrequest|invoke-restmethod|downloadstring)[^\n]{0,600}/i
    $named = /\$\{?\w{1,30}\}?(["']?\$\{?\w{1,30}\}?){0,5}["']?\s[^\n]{0,80}https?:\/\/[^\n|]{1,300}\|\s*(sudo\s+)?((ba|z|da|k)(''|"")?)?s(''|"")?h\b/
    $split = /\b(curl|wget)\b[^\n]{0,600}\|\s*(sudo\s+)?((b|z|d)?(''|"")?a?(''|"")?s(''|"")h|(ba|da)(''|"")sh|\$\{?(SHELL|BASH|SH)\}?\s*[\n;&)"'])/
    $mshta = /\b(mshta(\.exe)?\s+["']?https?:|regsvr32(\.exe)?\s[^\n]{0,40}\/i:["']?https?:|rundll32(\.exe)?\s[^\n]{0,20}javascript:|certutil(\.exe)?\s[^\n]{0,40}-urlcache\s[^\n]{0,20}https?:|bitsadmin(\.exe)?\s[^\n]{0,40}\/transfer\s[^\n]{0,60}https?:|msiexec(\.exe)?\s[^\n]{0,40}\/i\s{0,3}["']?https?:)[^\n]{0,300}/i
  condition: any of them
}

rule download_then_start {
  meta: shows = "download_execute" judge = "started"
  strings:
    $chmod = /\b(curl|wget)\b[^\n]{0,500}[\n;&][^\x00]{0,500}\bchmod\s+(\+x|[auog]{1,3}\+r?w?x|0?[0-7]?7[0-7]{2}|755)\s+["']?[^\s"';&]{1,120}/
    $start = /\b(curl|wget|iwr|invoke-webrequest|bitsadmin|start-bitstransfer)\b[^\n]{0,500}[\n;&][^\x00]{0,300}\b(start-process|start \/b|nohup|setsid|python3?|bash|sh|zsh|osascript|open)\s+[^\n]{1,200}/i
  condition: any of them
}

rule decoded_and_run {
  meta: shows = "decode_execute" judge = "clear"
  strings:
    $piped = /\b(base64\s+(-\w*d|-D|--decode)|base32\s+-d|xxd\s+(-\S+\s+){0,4}-?r|openssl\s+(base64|enc)\s[^\n|]{0,120}-d|uudecode)[^\n]{0,200}\|\s*(sudo\s+)?(\/[a-z\/]{1,20}\/)?(ba|z|da|k)?sh\b/i
    $interpreter = /\b(base64\s+(-\w*d|-D|--decode)|xxd\s+(-\S+\s+){0,4}-?r|openssl\s+(base64|enc)\s[^\n|]{0,120}-d)[^\n|]{0,120}(\|[^\n|]{0,80}){0,2}\|\s*(sudo\s+)?(python[0-9.]{0,4}|perl|ruby|node|php|osascript)(\s+-)?\s*[\n;&|)"'`<>]/i
    $eval = /\b(eval|source|(ba|z|da)?sh\s+-\w{0,3}c|python[0-9.]{0,4}\s+-c|perl\s+-e|node\s+-e)\s+\\?["']?(\$\(|`|<\()[^\n]{0,600}(base64\s+(-\w*d|-D|--decode)|xxd\s+(-\S+\s+){0,4}-?r|openssl\s+(base64|enc)\s[^\n|]{0,120}-d)\b/i
    $substituted = /\b((ba|z|da|k)?sh|source)\s+(-\S+\s+){0,3}<\([^\n]{0,400}(base64\s+(-\w*d|-D|--decode)|xxd\s+-)/i
    $here = /\b(ba|z|da)?sh\s+<<<\s*["']?\$\([^\n]{0,400}base64\s+(-\w*d|-D|--decode)/i
    $escapes = /\b(printf|echo\s+-\w*e\w*)\s+\$?["'](\\x?[0-9a-f]{2,3}){8,}[^\n]{0,300}\|\s*(ba|z|da)?sh\b/i
    $python = /\bpython[0-9.]{0,4}\s+-c\s+["'][^\n]{0,300}\b(exec|eval)\s*\([^\n]{0,120}(b64decode|fromhex|decompress|unhexlify)\b/
    $encoded = /\b(powershell|pwsh)(\.exe)?\b[^\n]{0,200}\s-(e|ec|en|enc|enco|encod|encode|encodedc\w{0,12})\s+["']?[A-Za-z0-9+\/=]{24,}/i
    $reflection = /(iex|invoke-expression|assembly\]::load)\b[^\n]{0,120}frombase64string/i
    $reflection_piped = /frombase64string[^\n]{0,400}(\|\s*(iex|invoke-expression)\b|assembly\]::load)/i
    $rev = /\|\s*(rev|tac|tr\s[^\n|]{3,80})\s*\|([^\n|]{0,80}\|){0,2}\s*(sudo\s+)?(ba|z|da|k)?sh\s*[\n;&)"'`]/
    $gzip = /\b(zcat|gunzip|gzip\s+-\w*d\w*)\b[^\n|]{0,80}<<<[^\n]{0,300}\|\s*(ba|z|da)?sh\b/
  condition: any of them
}

rule decoded_variable {
  meta: shows = "decode_execute" judge = "variable"
  strings:
    $set = /\b[A-Za-z_]\w{0,40}=["']?(\$\(|`)[^\n]{0,1200}(base64\s+(-\w*d|-D|--decode)|xxd\s+(-\S+\s+){0,4}-?r|openssl\s+(base64|enc)\s[^\n|]{0,120}-d)\b/i
    $powershell = /\$\w{1,40}\s*=\s*[^\n]{0,160}\b(downloadstring|invoke-webrequest|invoke-restmethod|iwr|irm)\b[^\n]{0,400}/i
    $fetched = /\b[A-Za-z_]\w{0,40}=["']?(\$\(|`)\s*(curl|wget)\b[^\n]{0,600}/
  condition: any of them
}

rule gives_shell_away {
  meta: shows = "reverse_shell" judge = "away"
  strings:
    $tcp_interactive = /\b(ba|z|k)?sh\s+-\w*i\w*[^\n]{0,80}\/dev\/(tcp|udp)\/[^\s"']{1,200}/
    $tcp_redirect = /\/dev\/(tcp|udp)\/[^\s"'`]{1,200}[^\n]{0,20}(0>&1|<&1|<&0|0<&)/
    $tcp_exec = /exec\s+[0-9]{1,3}<>\s*["']?\/dev\/(tcp|udp)\/[^\n]{1,200}([\n;][^\n]{0,200}){0,4}(while\s+read|\bsh\s+<&|\bsh\s+0?<|cat\s+<&[0-9]{1,3}\s*\||eval)/
    $nc = /\b(nc|ncat|netcat|nc\.exe|nc\.traditional)\b[^\n|;]{0,160}(\s-\w{0,4}[ec]\s{0,3}["']?|--(exec|sh-exec)[ =]["']?)(\/[\w\/]{0,30}\/)?((ba|z|da)?sh|cmd(\.exe)?|powershell)\b/
    $fifo = /\b(mkfifo|mknod)\s[^\n]{1,120}[\n;&|][^\x00]{0,200}\b(nc|ncat|netcat|telnet|openssl\s+s_client)\b[^\n]{0,200}/
    $nc_pipe = /\|\s*(\/bin\/)?(ba|z|da)?sh\s+(-i\s*)?(2>&1\s*)?\|\s*(nc|ncat|netcat|telnet)\s+[^\n]{3,120}/
    $socat = /\bsocat\s[^\n]{0,200}(exec:|system:)["']?[^\n]{0,40}(sh|cmd|powershell)\b[^\n]{0,200}/i
    $python = /\bsocket\b[^\x00]{0,400}\bconnect\s*\([^\x00]{0,400}\b(dup2|pty\.spawn|subprocess\.(call|Popen|run))\s*\([^\x00]{0,200}(\/bin\/(ba|z|da)?sh|cmd\.exe|fileno\(\))/
    $perl = /\bperl\s[^\n]{0,60}-e[^\n]{0,60}\bSocket\b[^\n]{0,400}(exec|open\s*\(?\s*STDIN)/
    $ruby = /\bruby\s[^\n]{0,40}-rsocket\b[^\n]{0,200}TCPSocket[^\n]{0,300}(exec|popen|spawn)/i
    $php = /\bphp\s[^\n]{0,20}-r[^\n]{0,60}fsockopen[^\n]{0,200}(exec|shell_exec|system|passthru|popen|proc_open)\s*\(/
    $awk = /\bawk\b[^\n]{0,120}\/inet\/tcp\/[^\n]{1,200}/
    $telnet = /\btelnet\s+\S{3,80}\s+\d{2,5}\s*\|\s*(\/bin\/)?(ba|z|da)?sh\b/
    $powershell = /net\.sockets\.tcpclient\b[^\x00]{0,600}getstream\s*\([^\x00]{0,900}\b(iex|invoke-expression|cmd\.exe|processstartinfo)\b/i
    $node = /net\.(socket|connect|createconnection)\b[^\x00]{0,300}\b(spawn|exec)\s*\(\s*["'](\/bin\/)?((ba|z|da)?sh|cmd(\.exe)?|powershell)/i
    $node_reversed = /\bspawn\s*\(\s*["'](\/bin\/)?((ba|z|da)?sh|cmd(\.exe)?)["'][^\x00]{0,400}\bnet\.(socket|connect|createconnection)\b[^\x00]{0,400}\.pipe\s*\(/i
  condition: any of them
}

rule stays {
  meta: shows = "persistence" judge = "stays"
  strings:
    $cron = /(\|\s*crontab\s+(-u\s+\S{1,40}\s+)?-|>>?\s*["']?\/etc\/(crontab|cron\.(d|daily|hourly)\/\S{1,60})|tee\s[^\n]{0,20}\/etc\/cron\S{1,60}|\/var\/spool\/cron\/\S{1,60}|\bcrontab\s+<<)/
    $start_up = />>?\s*["']?(~|\$HOME|\$\{HOME\}|\/root|\/home\/\S{1,40}|\$\w{1,30}|\$\{\w{1,30}\})?\/?\.(bashrc|bash_profile|bash_login|profile|zshrc|zprofile|zshenv|zlogin|config\/fish\/config\.fish)\b/
    $start_up_tee = /\btee\s+-a\s+["']?(~|\$HOME|\$\{HOME\})\/\.(bashrc|bash_profile|profile|zshrc|zprofile|zshenv)\b/
    $system_start_up = /(>>?|tee\s+(-a\s+)?)\s*["']?\/etc\/(profile\.d\/\S{1,60}|rc\.local|bash\.bashrc|zsh\/zshenv|ld\.so\.preload|init\.d\/\S{1,60})/
    $unit = /ExecStart(Pre|Post)?=[^\n]{0,300}/
    $launch = /LaunchAgents\/[\w.-]{1,80}\.plist/
    $task = /\bschtasks(\.exe)?\s+\/create\b[^\n]{0,400}/i
    $run_key = /\breg(\.exe)?\s+add\s[^\n]{0,120}\\(currentversion\\)?run(once)?\b[^\n]{0,300}/i
    $run_key_ps = /(new|set)-itemproperty\b[^\n]{0,160}\\run(once)?\b[^\n]{0,300}/i
    $wmi = /__EventFilter\b[^\x00]{0,600}CommandLineEventConsumer/i
    $git = /\bgit\s+config\s+(--\w+\s+){0,3}(core\.(hooksPath|sshCommand|fsmonitor|pager|editor)|credential\.helper|init\.templateDir)\s+[^\n]{1,300}/
    $prompt = /(PROMPT_COMMAND=|\btrap\s[^\n]{0,80}\bDEBUG\b|precmd\s*\(\))[^\n]{0,160}\b(curl|wget|nc|base64)\b/
    $git_hook = />>?\s*["']?[^\s"']{0,120}\.git\/hooks\/[a-z-]{3,40}/
  condition: any of them
}

rule own_key {
  meta: shows = "grants_access" judge = "clear"
  strings:
    $key = /(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\w{1,20})\s+AAAA[^\n]{20,2000}>>?\s*["']?[^\s"']{0,80}authorized_keys/
    $key_tee = /(ssh-(rsa|ed25519|dss)|ecdsa-sha2-\w{1,20})\s+AAAA[^\n]{20,2000}tee\s+(-a\s+)?["']?[^\s"']{0,80}authorized_keys/
    $tunnel = /\bssh\s[^\n]{0,120}-\w*R\s*\S{0,40}:(localhost|127\.0\.0\.1):22\b[^\n]{0,200}StrictHostKeyChecking=no/
    $tunnel_first = /\bssh\s[^\n]{0,80}StrictHostKeyChecking=no[^\n]{0,120}-\w*R\s*\S{0,40}:(localhost|127\.0\.0\.1):22\b/
    $suid = /\bchmod\s+(u\+s|[ug]\+s|[246]7[0-7]{2})\s+["']?\S{0,60}\b(bash|sh|dash|zsh|python[0-9.]{0,4}|find|vim?|env|cp)\b/
    $self = /(\$USER|\$\(whoami\)|\$\(id -un\)|`whoami`)[^\n]{0,20}ALL\s*=\s*\(ALL(:ALL)?\)\s*NOPASSWD:\s*ALL[^\n]{0,60}sudoers/
    $fetched = /\b(curl|wget)\b[^\n]{0,300}(>>|\|\s*tee\s+-a)\s*["']?[^\s"']{0,80}authorized_keys/
  condition: any of them
}

rule grants {
  meta: shows = "grants_access" judge = "signal"
  strings:
    $sudoers = /NOPASSWD:\s*ALL[^\n]{0,80}(sudoers|tee)/
    $keys = />>\s*["']?[^\s"']{0,80}authorized_keys/
    $root = /\buseradd\b[^\n]{0,80}\s-u\s*0\b|\buseradd\b[^\n]{0,60}-o\s+-u\s*0\b|\busermod\s+-aG\s+(sudo|wheel|docker)\b/
    $host = /\bdocker\s+run\b[^\n]{0,200}(-v|--volume)\s*["']?\/:\/[^\n]{0,200}/
    $nsenter = /\bnsenter\s[^\n]{0,60}(-t|--target)[ =]?1\b/
  condition: any of them
}

rule destroys {
  meta: shows = "destruction" judge = "destroys"
  strings:
    $rm = /\brm\s+(-\w+\s+|--[\w-]+\s+){0,5}(-\w*[rR]\w*f\w*|-\w*f\w*[rR]\w*|-[rR]\s+-f|-f\s+-[rR]|--recursive\s+--force)\s+(--[\w-]+\s+){0,3}(--\s+)?["']?(\/|\/\*|~|~\/|~\/\*|~\/\.\*|\$HOME|\$\{HOME\}|\$HOME\/|\$HOME\/\*|\$\{HOME\}\/\*|\/home|\/home\/\*|\/Users|\/Users\/\*|\/etc|\/usr|\/var|\/boot|\/\*\s+\/\.\*)["']?\s*[\n;&|)"'`]/
    $root = /\brm\s[^\n]{0,80}--no-preserve-root\b/
    $find = /\bfind\s+["']?(\/|~|\$HOME|\$\{HOME\}|\/home|\/Users)["']?\s[^\n]{0,160}(-delete\b|-exec\s+(rm|shred|srm)\b)/
    $disk = /\bdd\s[^\n]{0,120}if=\/dev\/(zero|u?random)\b[^\n]{0,120}of=["']?(\/dev\/(sd[a-z]|nvme\d|hd[a-z]|vd[a-z]|xvd[a-z]|disk\d|rdisk\d|mmcblk\d)|\$\w{1,30})/
    $disk_reversed = /\bdd\s[^\n]{0,80}of=["']?\/dev\/(sd[a-z]|nvme\d|hd[a-z]|vd[a-z]|disk\d|rdisk\d|mmcblk\d)[^\n]{0,80}if=\/dev\/(zero|u?random)\b/
    $device = /(cat|echo|:)\s[^\n]{0,80}>\s*\/dev\/(sd[a-z]|nvme\dn\d|vd[a-z]|disk\d)\b/
    $bomb = /:\(\)\s*\{\s*:\s*\|\s*:\s*&\s*\}\s*;\s*:/
    $shred = /\b(shred|srm|wipe)\s+(-\S+\s+){0,4}["']?(~|\$HOME|\/home|\/Users|\/etc)[^\n]{0,120}/
    $chmod = /\bch(mod|own)\s+(-R\s+|--recursive\s+)(000|777|a-rwx|[^\s]{1,30})\s+["']?(\/|~|\$HOME|\/etc|\/usr)["']?\s*[\n;&|)"'`]/
    $null = /\bmv\s+["']?(~|\$HOME|\/home\/\S{1,40}|\/)["']?\s+\/dev\/null/
    $shadow = /\b(vssadmin(\.exe)?\s+delete\s+shadows|wmic\s+shadowcopy\s+delete|wbadmin\s+delete\s+(catalog|systemstatebackup)|bcdedit\s[^\n]{0,40}recoveryenabled\s+no|tmutil\s+(deletelocalsnapshots|disable)\b)/i
    $windows = /\b(remove-item|ri|rm|rmdir|rd|del|erase|format)\b[^\n]{0,60}(\/s\s+\/q\s+|-recurse\s+-force\s+|-force\s+-recurse\s+|-recurse\s+|\/q\s+\/s\s+|\/f\s+\/s\s+\/q\s+)["']?(c:\\?(\*|\s|["'\n]|users)|\$home\\?["'\s\n]|\$env:userprofile\\?["'\s\n*]|%userprofile%\\?["'\s\n*]|%systemdrive%|\$env:systemdrive)/i
    $format = /\bformat\s+[a-z]:\s[^\n]{0,20}\/(y|q)\b/i
  condition: any of them
}

rule covers_tracks {
  meta: shows = "covers_tracks" judge = "signal"
  strings:
    $history = /\bhistory\s+-c\b|\b(unset|export)\s+HISTFILE\b|HISTFILE=\/dev\/null|\bln\s+-sf?\s+\/dev\/null\s+\S{0,20}_history\b|(>|\brm\s+(-\w+\s+)?)\s*(~|\$HOME)\/\.(bash|zsh)_history\b|\bHISTSIZE=0\b/
    $logs = /\b(rm\s+-\w*\s+\/var\/log\/(\*|auth|syslog|secure|wtmp|audit)|truncate\s[^\n]{0,20}\/var\/log\/(auth|syslog|secure|wtmp)|shred\s[^\n]{0,30}\/var\/log\/|wevtutil\s+cl\b|clear-eventlog\b|clear-history\b)/i
    $reflog = /\bgit\s+reflog\s+expire\s[^\n]{0,60}--expire(-unreachable)?=now/
  condition: any of them
}

rule disarms {
  meta: shows = "security_off" judge = "disarms"
  strings:
    $defender = /\b(set-mppreference\s[^\n]{0,60}-disable\w{3,40}\s+(\$true|1)|add-mppreference\s[^\n]{0,20}-exclusion(path|process|extension)\b|uninstall-windowsfeature\s[^\n]{0,30}defender|sc(\.exe)?\s+(stop|delete|config)\s+(windefend|sense|wuauserv))/i
    $agents = /\b(systemctl\s+(stop|disable|mask)|service|launchctl\s+(unload|bootout|remove)|pkill|killall|kill)\s[^\n]{0,60}(falcon|crowdstrike|sentinelone|sentinelctl|mdatp|clamav|clamd|auditd|osquery|wazuh|carbonblack|cbdaemon|littlesnitch|lulu|santa|xprotect|sophos|ossec|fail2ban)/i
    $firewall = /\b(ufw\s+(--force\s+)?disable|systemctl\s+(stop|disable|mask)\s+[^\n]{0,20}(firewalld|ufw|apparmor)|iptables\s+(-F|--flush)\s*[\n;&]|setenforce\s+0|netsh\s+advfirewall\s+set\s+\w+\s+state\s+off|set-netfirewallprofile\s[^\n]{0,60}-enabled\s+false)/i
    $mac = /\b(spctl\s+--(master|global)-disable|csrutil\s+disable|tccutil\s+reset\s+All|nvram\s+boot-args)/
  condition: any of them
}

rule quarantine {
  meta: shows = "security_off" judge = "signal"
  strings:
    $xattr = /\bxattr\s+-\w*(d|c)\w*\s[^\n]{0,200}/
    $tls = /\b(git\s+config\s+--global\s+http\.sslverify\s+false|npm\s+config\s+set\s+strict-ssl\s+false|export\s+NODE_TLS_REJECT_UNAUTHORIZED=["']?0|export\s+PYTHONHTTPSVERIFY=0|export\s+GIT_SSL_NO_VERIFY=(1|true))/i
  condition: any of them
}

rule hidden_window {
  meta: shows = "hidden_execution" judge = "clear"
  strings:
    $hidden_first = /\b(powershell|pwsh)(\.exe)?\b[^\n]{0,200}-w(indowstyle)?\s+(hidden|h|1)\b[^\n]{0,300}(iwr|irm|invoke-webrequest|downloadstring|downloadfile|webclient|https?:|frombase64)/i
    $hidden_last = /\b(iwr|irm|invoke-webrequest|downloadfile|webclient)\b[^\n]{0,300}-w(indowstyle)?\s+hidden\b/i
    $echoed = /(echo|printf)\s[^\n]{0,40}["'(]\s*(nohup\s+)?\(?\s*(nohup\s+)?(\/tmp|\/var\/tmp|\/dev\/shm|~|\$HOME)\/(\.[\w-]{1,40}\/)?\.?[\w-]{1,60}\s[^\n]{0,80}&[^\n]{0,60}>>/
  condition: any of them
}

rule hidden_program {
  meta: shows = "hidden_execution" judge = "signal"
  strings:
    $start = /(^|[\n;&|(]\s*|nohup\s+|setsid\s+|sh\s+|bash\s+)(\/tmp|\/var\/tmp|\/dev\/shm)\/\.[\w][\w.-]{0,60}(\s[^\n]{0,120})?/
  condition: any of them
}

rule mines {
  meta: shows = "crypto_miner" judge = "miner"
  strings:
    $pool = /\bstratum\d?(\+(tcp|ssl|tls))?:\/\/[^\s"'`]{3,120}/i
    $algorithm = /--(algo|coin)[ =]["']?(rx\/|randomx|cn\/|cryptonight|kawpow|ethash|autolykos|monero|xmr)[^\n]{0,160}/i
    $host = /\b[\w.-]{0,40}(minexmr|supportxmr|nanopool|moneroocean|2miners|f2pool|nicehash|hashvault|unmineable|herominers|c3pool)\.[\w.]{2,20}:\d{2,5}/i
    $program = /\b(xmrig|xmr-stak|minerd|cpuminer|cgminer|ethminer|nbminer|t-rex|phoenixminer|lolminer|nanominer|srbminer)\b[^\n]{0,60}\s(-o|--url|-a|--algo|-u|--user|--donate-level|--coin)[ =][^\n]{0,200}/i
  condition: any of them
}

rule names_leak {
  meta: shows = "dns_exfiltration" judge = "clear"
  strings:
    $substituted = /\b(dig|nslookup|host|ping|drill|resolvectl query)\s[^\n]{0,80}(\$\(|`)[^\n)]{0,200}\b(cat|env|printenv|base64|xxd|od|whoami|id|uname)\b[^\n)`]{0,200}(\)|`)["']?\.["']?[\w$.-]{2,120}/
  condition: any of them
}

rule metadata_service {
  meta: shows = "cloud_metadata" judge = "metadata"
  strings:
    $aws = /\b(curl|wget|fetch|invoke-restmethod|irm)\b[^\n]{0,200}169\.254\.169\.254\/[^\s"'`]{0,200}(iam|security-credentials|token|user-data|identity)/i
    $google = /metadata\.google\.internal\/computeMetadata\/[^\s"'`]{0,120}(token|service-accounts)/
    $container = /169\.254\.170\.2\$?\{?(AWS_CONTAINER|\/v2\/credentials)/
  condition: any of them
}

rule spreads {
  meta: shows = "lateral_movement" judge = "clear"
  strings:
    $known = /known_hosts\b[^\x00]{0,600}\bdo\b[^\x00]{0,200}\b(ssh|scp|sshpass|rsync)\b[^\n]{0,200}/
    $known_piped = /known_hosts\b[^\n]{0,200}\|\s*(xargs|while\s+read)\b[^\x00]{0,300}\b(ssh|scp|sshpass)\b[^\n]{0,200}/
    $root_mount = /\bdocker\s+run\b[^\n]{0,200}(-v|--volume)\s*["']?\/:\/[^\n]{0,200}(chroot|authorized_keys|\/etc\/(shadow|cron|sudoers))/
    $socket = /--unix-socket\s+\/var\/run\/docker\.sock[^\n]{0,300}(Binds|\/:\/|Privileged)/
    $release = /release_agent\b[^\n]{0,200}(cgroup|\/cmd)|\/sys\/fs\/cgroup\/[^\n]{0,100}release_agent/
  condition: any of them
}

rule data_run {
  meta: shows = "data_executed" judge = "clear"
  strings:
    $piped = /\b(cat|tail|head|sed|awk|cut|tr|strings|jq|dd|paste|join|openssl|unzip|tar|zcat)\b[^\n]{0,300}\.(png|jpe?g|gif|txt|dat|data|csv|tsv|json|log|bin|ico|svg|pdf|xml|lock|woff2?|ttf|wav|mp3)\b[^\n]{0,300}\|\s*(sudo\s+)?(\/[a-z\/]{1,20}\/)?((ba|z|da|k)?sh|python[0-9.]{0,4}|perl|node)(\s+-)?\s*[\n;&|)"'`<>]/
    $started = /(^|[\n;&|(]\s*|\bexec\s+|\bnohup\s+)((ba|z|da|k)?sh|source|\.|python[0-9.]{0,4}|perl|node)\s+["']?[\w.\/${}~-]{1,120}\.(png|jpe?g|gif|dat|csv|tsv|log|ico|svg|pdf|woff2?|ttf|wav|mp3)["']?\s*[\n;&|)]/
    $eval = /\beval\s+["']?(\$\(|`)\s*(cat|tail|head|sed|awk|cut|tr|strings|jq|grep)\b[^\n]{0,200}\.(png|jpe?g|gif|txt|dat|data|csv|tsv|json|log|bin|ico|svg|pdf|xml|md)\b/
    $joined = /\bcat\s+[^\n|]{1,200}\s[^\n|]{1,200}\|\s*(base64\s+-\w*d[^\n|]{0,20}\|\s*)?(gunzip|zcat|xz -d)?[^\n|]{0,20}\|?\s*(ba|z|da)?sh\s*[\n;&)]/
  condition: any of them
}

rule agent_settings {
  meta: shows = "agent_settings" judge = "agent"
  strings:
    $written = /(>>?\s*|tee\s+(-a\s+)?|cp\s+[^\n]{1,120}\s)["']?(~|\$HOME|\$\{HOME\}|\.)?\/?[^\s"'>|]{0,60}(\.claude\/(settings(\.local)?\.json|CLAUDE\.md|skills\/)|CLAUDE\.md|AGENTS\.md|SOUL\.md|MEMORY\.md|\.cursor\/(mcp\.json|rules)|\.cursorrules|claude_desktop_config\.json|\.mcp\.json|\.openclaw\/|\.codex\/config\.toml)/
    $command = /\b(claude|codex|gemini|openclaw)\s+(mcp\s+add|config\s+set)\s[^\n]{1,300}/
  condition: any of them
}
