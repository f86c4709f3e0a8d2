// policy pulls an image as podman, CRI-O and skopeo do, with the library that all of them use: Debian builds its own
// without Sigstore.
//
//	policy POLICY.JSON REGISTRIES.D HOST/REPOSITORY:TAG FOLDER
package main

import (
	"context"
	"fmt"
	"os"

	"github.com/containers/image/v5/copy"
	"github.com/containers/image/v5/directory"
	"github.com/containers/image/v5/docker"
	"github.com/containers/image/v5/signature"
	"github.com/containers/image/v5/types"
)

func pull(policyFile, registries, reference, folder string) error {
	policy, err := signature.NewPolicyFromFile(policyFile)
	if err != nil {
		return err
	}
	trust, err := signature.NewPolicyContext(policy)
	if err != nil {
		return err
	}
	source, err := docker.ParseReference("//" + reference)
	if err != nil {
		return err
	}
	destination, err := directory.NewReference(folder)
	if err != nil {
		return err
	}
	_, err = copy.Image(context.Background(), trust, destination, source, &copy.Options{
		SourceCtx: &types.SystemContext{
			RegistriesDirPath:           registries,
			DockerInsecureSkipTLSVerify: types.OptionalBoolTrue,
		},
		RemoveSignatures: true, // the folder is not asked about them
	})
	return err
}

func main() {
	if len(os.Args) != 5 {
		fmt.Fprintln(os.Stderr, "usage: policy POLICY.JSON REGISTRIES.D HOST/REPOSITORY:TAG FOLDER")
		os.Exit(2)
	}
	if err := pull(os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
