from manager import *
import glob,re,urllib.request
out=open('/tmp/mgr/explore.out','w')
def p(*a): print(*a,file=out,flush=True)
sn=[d for d in glob.glob('/tmp/pa-snmpd-*') if PORT in open(d+'/snmpd.conf').read()][0]
ag=[d for d in glob.glob('/tmp/pa-agent-*') if sn in open(d+'/config.yaml').read()][0]
p(open(ag+'/config.yaml').read())
pf=re.findall(r'(/tmp/pa-postfix-[^/\s]+)/etc',open(ag+'/config.yaml').read())[0]
p(pf)
sh=lambda c: subprocess.run(c,shell=True,capture_output=True,text=True).stdout
env=f"cd {pf};"
exp=subprocess.Popen(["prometheus-postfix-exporter","--postfix.logfile_path",pf+"/log" if os.path.isfile(pf+"/log") else glob.glob(pf+"/log/*")[0],"--postfix.showq_path",pf+"/q/public/showq","--web.listen-address","127.0.0.1:39154","--log.unsupported"],stdout=open('/tmp/mgr/exp.log','w'),stderr=subprocess.STDOUT)
time.sleep(2)
p(sh(f"find {pf} -maxdepth 2 | head -80"))
log=glob.glob(pf+"/log*")[0]; log=log if os.path.isfile(log) else glob.glob(log+"/*")[0]
p(log)
p(open(log).read())
for q in "incoming active deferred hold maildrop".split(): p(q, sh(f"find {pf}/q/{q} -type f | wc -l"), sh(f"qshape -c {pf}/etc {q} | head -3"))
p(sh(f"postqueue -c {pf}/etc -p"))
p(sh(f"pflogsumm {log} | head -40"))
time.sleep(3)
p(urllib.request.urlopen("http://127.0.0.1:39154/metrics").read().decode())
exp.terminate(); exp.wait()
p(sh(f"snmpbulkwalk -v2c -c public -OQ -m POSTFIX-MIB -M {os.environ['MIB_PATH']} 127.0.0.1:{PORT} postfixMIB"))
