package passwd

import "testing"

func TestFind(t *testing.T) {
	const text = "root:x:0:0:root:/root:/bin/bash\nbad\n:x:5:5::/x:\nann:x:1000:100:Ann,,:/home//ann/:/bin/sh\ntoor:x:0:0::/toor:\nrel:x:7:7::home:\nneg:x:-1:0::/:\n"
	for uid, want := range map[int]Account{
		0: {Name: "root", UID: 0, GID: 0, Home: "/root"}, 1000: {Name: "ann", UID: 1000, GID: 100, Home: "/home/ann"}, 7: {Name: "rel", UID: 7, GID: 7, Home: ""}, 5: {}, 99: {}, -1: {},
	} {
		if got := Find(text, uid); got != want {
			t.Errorf("%d: %+v, not %+v", uid, got, want)
		}
	}
	all, err := All()
	if err != nil || len(all) == 0 || all[0].Name != "root" || Home(0) != all[0].Home || Home(-1) != "" {
		t.Errorf("%+v, %v", all, err)
	}
}
